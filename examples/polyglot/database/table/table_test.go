package table

import (
	"errors"
	"testing"
)

func TestRowsAreFoundByTheirBerths(t *testing.T) {
	if ship, err := Find(3); err != nil || ship != (Ship{3, "Cormorant", 12500}) {
		t.Errorf("%v %v", ship, err)
	}
	if _, err := Find(8); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := Find(5); err == nil || err.Error() != `row 5: "heavy" is no number of tons` {
		t.Error(err)
	}
}

func TestAllAreThereButTheDamagedOne(t *testing.T) {
	if all := All(); len(all) != 6 || all[4].Berth != 6 {
		t.Error(all)
	}
}
