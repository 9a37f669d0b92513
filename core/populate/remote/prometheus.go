package remote

import (
	"errors"
	"strconv"
	"strings"
)

func (d *decoder) prometheus() error {
	return d.object(func(member string) (err error) {
		switch member {
		case "status":
			d.status, err = d.string()
		case "errorType":
			d.failure.kind, err = d.string()
		case "error":
			d.failure.text, err = d.string()
		case "data":
			err = d.members(d.data)
		case "warnings", "infos":
			err = d.elements(func() error {
				text, err := d.string()
				d.warn(text)
				return err
			})
		default:
			err = d.skip()
		}
		return err
	})
}

// members reads an object, and passes over any other value.
func (d *decoder) members(member func(string) error) error {
	c, err := d.peek()
	if err != nil {
		return err
	}
	if c != '{' {
		return d.skip()
	}
	return d.object(member)
}

func (d *decoder) data(member string) error {
	if member != "result" {
		return d.skip()
	}
	return d.elements(func() error {
		c, err := d.peek()
		if err != nil {
			return err
		}
		if c != '{' { // of a scalar or a text
			d.instant = true
			return d.skip()
		}
		return d.ranged()
	})
}

// ranged reads a series of a range, or of an instant.
func (d *decoder) ranged() error {
	d.series++
	name := ""
	err := d.object(func(member string) (err error) {
		switch member {
		case "metric":
			name, err = d.labels()
			return err
		case "values":
			return d.points(true)
		case "value":
			d.instant = true
		case "histogram", "histograms":
			d.native = true
		}
		return d.skip()
	})
	d.named(name)
	return err
}

// labels reads the labels of a series and returns them as a selector.
func (d *decoder) labels() (string, error) {
	metric := ""
	var pairs []string
	long := 0
	err := d.members(func(name string) error {
		value, err := d.string()
		switch {
		case name == "__name__":
			metric = value
		case long < maxName:
			pair := cut(name, maxName) + "=" + strconv.Quote(cut(value, maxName))
			pairs = append(pairs, pair)
			long += len(pair)
		}
		return err
	})
	if len(pairs) == 0 && metric != "" {
		return metric, err
	}
	return metric + "{" + strings.Join(pairs, ",") + "}", err
}

// verdict says whether what was read is an answer, and warns of what it is not.
func (d *decoder) verdict() error {
	switch d.status {
	case "success":
	case "error":
		return d.failure
	default:
		return errors.New(`its status is neither "success" nor "error"`)
	}
	if d.instant {
		d.warn("the answer is of one instant and has no points: ask for a range, as in x[1d], or by query_range")
	}
	if d.native {
		d.warn("the answer has native histograms, which were left out")
	}
	return nil
}
