package sdk

import (
	"errors"
	"fmt"
	"io"
	"reflect"
)

type validator interface{ Validate() error }

// abilityOf returns the one method of the interface T.
func abilityOf[T any]() reflect.Method { return reflect.TypeFor[T]().Method(0) }

// abilitiesOf returns the methods that a plugin of a kind may have, and need not.
func abilitiesOf(kind string) []reflect.Method {
	abilities := []reflect.Method{abilityOf[Checker](), abilityOf[io.Closer]()}
	switch kind {
	case kindSink:
		abilities = append(abilities, abilityOf[BulkSink]())
	case kindInput:
		abilities = append(abilities, abilityOf[Recycler]())
	}
	return abilities
}

// checkAbilities refuses a plugin, or settings, with a method that has the name of an
// ability and would never be called: it has another signature, or only a pointer has it.
//
// One that is meant for something else is refused as well. It cannot be told from a
// mistake, which would be found out late, such as a Close that was never called; and
// to give it another name costs its author nothing.
func checkAbilities(v any, abilities ...reflect.Method) error {
	value := reflect.ValueOf(v)
	if !value.IsValid() {
		return nil
	}
	var wrong []error
	for _, want := range abilities {
		found := value.MethodByName(want.Name)
		if found.IsValid() && found.Type() != want.Type {
			wrong = append(wrong, fmt.Errorf("method %s of %T is %v and would never be called: make it %v, or give it another name",
				want.Name, v, found.Type(), want.Type))
		}
		if !found.IsValid() && reflect.New(value.Type()).MethodByName(want.Name).IsValid() {
			wrong = append(wrong, fmt.Errorf("method %s of *%[2]T would never be called, since the plugin is a %[2]T: "+
				"return a pointer to it, or give the method another name", want.Name, v))
		}
	}
	if wrong == nil {
		return nil
	}
	return Invalidf("%w", errors.Join(wrong...))
}
