package whispertest_test

import (
	"testing"
)

func TestReport(t *testing.T) { testReport(t) }
