package journal

import (
	"context"
	"testing"
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
