package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A disk is a folder in memory that knows what is written from what is durable.
type disk struct {
	mu      sync.Mutex
	names   map[string]*inode // as they are seen
	durable map[string]*inode // as a power loss leaves them
	age     int               // counts the crashes: a file opened before one is dead

	choose func(n int) int                   // a number from 0 to n-1
	fails  func(call, name string) error     // asked before each call; nil: none fails
	after  func(call, name string, size int) // told of each call that changed something
	lies   bool                              // Sync claims what it does not do
	reads  int64                             // bytes
	syncs  int
	calls  int
	peak   int64 // of bytes of segments
	open   int   // files
}

type inode struct {
	now, durable []byte
	unsynced     []chunk
}

type chunk struct {
	offset int64
	bytes  []byte
}

func newDisk() *disk {
	return &disk{names: map[string]*inode{}, durable: map[string]*inode{}, choose: func(int) int { return 0 }}
}

// errCrash ends everything: no call does anything after it.
var errCrash = errors.New("injected: the machine has crashed")

var errDisk = errors.New("injected: the disk fails")

// call counts a call and says whether it fails.
func (d *disk) call(call, name string) error {
	d.calls++
	if d.fails != nil {
		return d.fails(call, name)
	}
	return nil
}

func (d *disk) changed(call, name string, size int) {
	var sum int64
	for name, n := range d.names {
		if strings.HasSuffix(name, segmentSuffix) {
			sum += int64(len(n.now))
		}
	}
	d.peak = max(d.peak, sum)
	if d.after != nil {
		d.after(call, name, size)
	}
}

func (d *disk) Lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nobody{}, d.call("lock", "")
}

func (d *disk) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.names)), d.call("names", "")
}

func (d *disk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("create", name); err != nil {
		return nil, err
	}
	d.names[name] = &inode{}
	d.open++
	d.changed("create", name, 0)
	return &memory{d, d.names[name], name, d.age, false}, nil
}

func (d *disk) Open(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("open", name); err != nil {
		return nil, err
	}
	n := d.names[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	d.open++
	return &memory{d, n, name, d.age, false}, nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("rename", from); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.changed("rename", from, 0)
	return nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("remove", name); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.names, name)
	d.changed("remove", name, 0)
	return nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("syncfolder", ""); err != nil {
		return err
	}
	if !d.lies {
		d.durable = maps.Clone(d.names)
	}
	d.changed("syncfolder", "", 0)
	return nil
}

// A memory is an open file of a disk.
type memory struct {
	d      *disk
	n      *inode
	name   string
	age    int
	closed bool
}

func (m *memory) call(call string) error {
	if m.closed {
		return fs.ErrClosed
	}
	if m.age != m.d.age {
		return errors.New("the machine has crashed")
	}
	return m.d.call(call, m.name)
}

func (m *memory) ReadAt(b []byte, offset int64) (int, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if err := m.call("read"); err != nil {
		return 0, err
	}
	if offset >= int64(len(m.n.now)) {
		return 0, io.EOF
	}
	n := copy(b, m.n.now[offset:])
	m.d.reads += int64(n)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(b []byte, offset int64) (int, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if err := m.call("write"); errors.Is(err, errCrash) {
		return 0, err
	} else if err != nil {
		b = b[:m.d.choose(len(b)+1)] // some of it is written
		m.write(b, offset)
		return len(b), err
	}
	m.write(b, offset)
	m.d.changed("write", m.name, len(b))
	return len(b), nil
}

func (m *memory) write(b []byte, offset int64) {
	c := chunk{offset, bytes.Clone(b)}
	m.n.now = c.put(m.n.now)
	m.n.unsynced = append(m.n.unsynced, c)
}

// put writes c to a file.
func (c chunk) put(file []byte) []byte {
	if end := int(c.offset) + len(c.bytes); end > len(file) {
		file = append(file, make([]byte, end-len(file))...)
	}
	copy(file[c.offset:], c.bytes)
	return file
}

func (m *memory) Size() (int64, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return int64(len(m.n.now)), m.call("size")
}

// Sync forgets what it could not make durable: the next one succeeds, and does
// nothing for it.
func (m *memory) Sync() error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	m.d.syncs++
	if err := m.call("sync"); errors.Is(err, errCrash) {
		return err
	} else if err != nil {
		m.n.persist(m.d.choose)
		m.n.unsynced = nil
		return err
	}
	if m.d.lies {
		return nil
	}
	for _, c := range m.n.unsynced {
		m.n.durable = c.put(m.n.durable)
	}
	m.n.unsynced = nil
	m.d.changed("sync", m.name, 0)
	return nil
}

func (m *memory) Close() error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if m.closed {
		return fs.ErrClosed
	}
	err := m.call("close")
	m.closed = true
	if m.age == m.d.age {
		m.d.open--
	}
	return err
}

// persist makes some of the unsynced writes durable: all or none, each as a whole
// or not, each sector or not, those up to a byte, or of each those up to a byte.
func (n *inode) persist(choose func(int) int) {
	how, until := choose(6), -1
	if how == 4 {
		until = choose(len(n.unsynced) + 1)
	}
	for i, c := range n.unsynced {
		switch {
		case how == 0 || how == 2 && choose(2) == 0 || how == 4 && i > until:
		case how == 3:
			n.persistSectors(c, choose)
		case how == 4 && i == until:
			c.bytes = c.bytes[:choose(len(c.bytes)+1)]
			n.durable = c.put(n.durable)
		case how == 5:
			c.bytes = c.bytes[:choose(len(c.bytes)+1)]
			n.durable = c.put(n.durable)
		default:
			n.durable = c.put(n.durable)
		}
	}
}

func (n *inode) persistSectors(c chunk, choose func(int) int) {
	for at := 0; at < len(c.bytes); {
		step := min(512-(int(c.offset)+at)%512, len(c.bytes)-at)
		if choose(2) == 1 {
			n.durable = chunk{c.offset + int64(at), c.bytes[at : at+step]}.put(n.durable)
		}
		at += step
	}
}

// kill ends the process: all that was written stays.
func (d *disk) kill() { d.age++; d.open = 0 }

// losePower keeps what is durable, and of the rest what choose says.
func (d *disk) losePower() {
	d.kill()
	all := maps.Clone(d.durable)
	maps.Copy(all, d.names)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if d.durable[name] != d.names[name] && d.choose(2) == 1 {
			if d.durable[name] = d.names[name]; d.names[name] == nil {
				delete(d.durable, name)
			}
		}
	}
	done := map[*inode]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		n := d.durable[name]
		if !done[n] {
			n.persist(d.choose)
			n.now, n.unsynced = bytes.Clone(n.durable), nil
			done[n] = true
		}
	}
	d.names = maps.Clone(d.durable)
}

// flip flips one bit of a file, in memory and on the platter.
func (d *disk) flip(name string, bit int) {
	n := d.names[name]
	n.now[bit/8] ^= 1 << (bit % 8)
	if bit/8 < len(n.durable) {
		n.durable[bit/8] ^= 1 << (bit % 8)
	}
}
