package journal

import (
	"context"
	"errors"
	"testing"

	"fluxgate/sdk"
)

func TestWhatSaveDoesNotNameIsDamaged(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "carbon", false)
	for _, tt := range []struct {
		delivered, dead int
		damaged         uint64 // in all
	}{{2, 3, 0}, {2, 0, 3}, {0, 0, 8}, {0, 1, 12}, {5, 0, 12}} {
		add(t, l, rec("some", 2), rec("more", 3))
		if found, err := r.Next(context.Background(), Limit{}); err != nil || len(found) != 2 {
			t.Fatal(found, err)
		}
		if b := r.Books(); b.Waiting != 5 || b.Imbalance() != 0 {
			t.Errorf("before the save: %+v", b)
		}
		if err := r.Save(tt.delivered, tt.dead); err != nil {
			t.Fatal(err)
		}
		if b := r.Books(); b.Damaged != tt.damaged || b.Waiting != 0 || b.Imbalance() != 0 {
			t.Errorf("%d delivered, %d dead: %+v", tt.delivered, tt.dead, b)
		}
	}
	if err := r.Save(0, 0); err != nil { // nothing is held
		t.Fatal(err)
	}
	before := r.Books()
	d.kill()
	l, _ = onDisk(t, d)
	if b := l.Stored()[0]; b != before || b.Damaged != 12 {
		t.Errorf("%+v, before the kill: %+v", b, before)
	}
}

func TestWhatIsPassedIsDelivered(t *testing.T) {
	d := newDisk()
	l, _ := onDisk(t, d)
	r := reader(t, l, "ledger", true)
	add(t, l, rec("some", 2))
	middle := add(t, l, rec("more", 3))
	end := add(t, l, rec("last", 4))
	if err := r.Pass(middle); err != nil || r.Saved() != middle {
		t.Fatalf("%v, the cursor is at %+v, want %+v", err, r.Saved(), middle)
	}
	if b := r.Books(); b.Delivered != 5 || b.Waiting != 4 || b.Imbalance() != 0 {
		t.Errorf("%+v", b)
	}
	if err := r.Pass(middle); err != nil || r.Books().Delivered != 5 {
		t.Errorf("%v, passed to where it was: %+v", err, r.Books())
	}
	d.kill()
	l, _ = onDisk(t, d)
	r = reader(t, l, "ledger", true)
	if b := r.Books(); r.Saved() != middle || b.Delivered != 5 || b.Imbalance() != 0 {
		t.Errorf("after a kill the cursor is at %+v, %+v", r.Saved(), b)
	}
	if found, err := r.Next(context.Background(), Limit{}); err != nil || len(found) != 1 || string(found[0].Data) != "last" {
		t.Errorf("read %v, %v behind what was passed", found, err)
	}
	if err := r.Pass(end); !errors.Is(err, sdk.ErrInvalid) || r.Saved() != middle {
		t.Errorf("passed what is not saved yet: %v", err)
	}
	if err := errors.Join(r.Save(4, 0), r.Pass(end)); err != nil || r.Books().Delivered != 9 {
		t.Errorf("%v, %+v", err, r.Books())
	}
	if err := r.Pass(Position{end.Segment, end.Number + 1, end.Offset}); !errors.Is(err, sdk.ErrInvalid) || r.Saved() != end {
		t.Errorf("passed the end: %v", err)
	}
}

// A full budget may move an optional reader on before it passes.
func TestPassingWhatABudgetHasMovedPast(t *testing.T) {
	l, _ := onDisk(t, newDisk())
	r, required := reader(t, l, "ledger", true), reader(t, l, "carbon", false)
	early := add(t, l, filler("x", 1000))
	var late Position
	for range 20 {
		late = add(t, l, filler("x", 1000))
		drain(t, required)
	}
	moved := r.Books()
	if moved.Expired == 0 || r.Saved().Number <= early.Number {
		t.Fatalf("not moved on: %+v", moved)
	}
	at := r.Saved()
	if err := r.Pass(early); err != nil || r.Books() != moved || r.Saved() != at {
		t.Errorf("%v, %+v: it was past that", err, r.Books())
	}
	if err := r.Pass(late); err != nil || r.Saved() != late {
		t.Errorf("%v, the cursor is at %+v, want %+v", err, r.Saved(), late)
	}
	if b := r.Books(); b.Expired != moved.Expired || b.Delivered != 21-moved.Expired || b.Waiting != 0 || b.Imbalance() != 0 {
		t.Errorf("%+v", b)
	}
}
