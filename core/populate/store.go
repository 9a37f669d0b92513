package populate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A store keeps the jobs in a file. What it has saved survives the process.
type store struct{ db *bbolt.DB }

var jobsBucket = []byte("jobs") // id, of eight bytes, big-endian, to the job as JSON

func openStore(file string) (*store, error) {
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("jobs %s: another process has it open", file)
	}
	if err != nil {
		return nil, fmt.Errorf("jobs %s: %w", file, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(jobsBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("jobs %s: %w", file, err), db.Close())
	}
	return &store{db}, nil
}

func (s *store) close() error { return s.db.Close() }

// add saves a new job, and gives it its id.
func (s *store) add(j *saved) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(jobsBucket)
		n, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		j.ID = strconv.FormatUint(n, 10)
		return put(bucket, *j)
	})
}

func (s *store) save(j saved) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return put(tx.Bucket(jobsBucket), j) })
}

func put(bucket *bbolt.Bucket, j saved) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	at, err := place(j.ID)
	if err != nil {
		return err
	}
	return bucket.Put(at, text)
}

// place returns the key of the bucket for an id.
func place(id string) ([]byte, error) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != id {
		return nil, fmt.Errorf("job %q: an id is a number", id)
	}
	return binary.BigEndian.AppendUint64(nil, n), nil
}

// find returns a job.
func (s *store) find(id string) (j saved, found bool, err error) {
	at, err := place(id)
	if err != nil {
		return j, false, nil
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		text := tx.Bucket(jobsBucket).Get(at)
		if text == nil {
			return nil
		}
		found = true
		return json.Unmarshal(text, &j)
	})
	return j, found, err
}

// each calls do for every job, the newest first, until do returns an error.
func (s *store) each(do func(saved) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(jobsBucket).Cursor()
		for at, text := c.Last(); at != nil; at, text = c.Prev() {
			var j saved
			if err := json.Unmarshal(text, &j); err != nil {
				return fmt.Errorf("job %d: %w", binary.BigEndian.Uint64(at), err)
			}
			if err := do(j); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove forgets jobs.
func (s *store) remove(ids ...string) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			at, err := place(id)
			if err != nil {
				return err
			}
			if err := tx.Bucket(jobsBucket).Delete(at); err != nil {
				return err
			}
		}
		return nil
	})
}
