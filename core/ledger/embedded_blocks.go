package ledger

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/bbolt"
)

// blocksBucket has the entries in the order of their slots, by the number of the
// block, four bytes big-endian.
var blocksBucket = []byte("blocks")

const (
	// entrySize is the size of an entry: timestamp and value, each of eight bytes,
	// big-endian.
	entrySize = 16

	// blockSlots is how many entries are a block: two of them, with their keys, fill
	// a page of 4 KiB. bbolt has at least two on each.
	blockSlots = 126

	blockSize = blockSlots * entrySize
)

func timestampIn(entry []byte) int64 { return int64(binary.BigEndian.Uint64(entry)) }

func valueIn(entry []byte) float64 {
	return math.Float64frombits(binary.BigEndian.Uint64(entry[entrySize/2:]))
}

// blockAt returns a block, which is nil if there is none of the right size.
func blockAt(blocks *bbolt.Bucket, number uint32) []byte {
	var key [4]byte
	binary.BigEndian.PutUint32(key[:], number)
	if block := blocks.Get(key[:]); len(block) == blockSize {
		return block
	}
	return nil
}

// recordedAt returns the timestamp in a slot, 0 if the file has none.
func recordedAt(blocks *bbolt.Bucket, slot uint32) int64 {
	block := blockAt(blocks, slot/blockSlots)
	if block == nil {
		return 0
	}
	return timestampIn(block[slot%blockSlots*entrySize:])
}

// A room has the blocks that a transaction touches. Its memory, which bbolt reads
// until the end of that, is used again by the next.
type room struct {
	bucket  *bbolt.Bucket
	blocks  map[uint32][]byte
	numbers []uint32 // of them

	latest uint32 // the number of block
	block  []byte // touched last

	chunks [][]byte // of memory, for chunkBlocks each
	used   int      // blocks of them
}

const (
	chunkBlocks = 16

	// maxChunks bounds the memory that is kept, at 4 MB.
	maxChunks = 128
)

// begin empties the room for a transaction.
func (r *room) begin(bucket *bbolt.Bucket) *room {
	bucket.FillPercent = 1 // blocks are added at the end, and keep their size
	chunks := r.chunks[:min(len(r.chunks), maxChunks)]
	clear(r.chunks[len(chunks):])
	if r.blocks == nil || len(r.numbers) > maxChunks*chunkBlocks {
		*r = room{blocks: make(map[uint32][]byte)}
	}
	clear(r.blocks)
	r.bucket, r.numbers, r.block, r.chunks, r.used = bucket, r.numbers[:0], nil, chunks, 0
	return r
}

// move moves the entry in a slot forward, or away from a time after ahead.
func (r *room) move(slot uint32, timestamp int64, value float64, ahead int64) {
	if number := slot / blockSlots; r.block == nil || number != r.latest {
		r.latest, r.block = number, r.touch(number)
	}
	entry := r.block[slot%blockSlots*entrySize:]
	if last := timestampIn(entry); timestamp <= last && last <= ahead {
		return
	}
	binary.BigEndian.PutUint64(entry, uint64(timestamp))
	binary.BigEndian.PutUint64(entry[entrySize/2:], math.Float64bits(value))
}

// touch returns a block as it is to be.
func (r *room) touch(number uint32) []byte {
	block, ok := r.blocks[number]
	if ok {
		return block
	}
	if r.used == len(r.chunks)*chunkBlocks {
		r.chunks = append(r.chunks, make([]byte, chunkBlocks*blockSize))
	}
	block = r.chunks[r.used/chunkBlocks][r.used%chunkBlocks*blockSize:][:blockSize:blockSize]
	r.used++
	clear(block[copy(block, blockAt(r.bucket, number)):])
	r.blocks[number], r.numbers = block, append(r.numbers, number)
	return block
}

// put enters the blocks, in the order of their keys.
func (r *room) put() error {
	defer func() { r.bucket = nil }() // with which all of the transaction would be kept
	slices.Sort(r.numbers)
	for _, number := range r.numbers {
		if err := r.bucket.Put(binary.BigEndian.AppendUint32(nil, number), r.blocks[number]); err != nil {
			return fmt.Errorf("record block %d: %w", number, err)
		}
	}
	return nil
}
