// Package text writes figures, words and enums as the examples print them.
package text

import (
	"strconv"
	"strings"

	almanac "almanac/v1"
)

// Formatted writes a number with this many digits after the point.
func Formatted(number float64, decimals uint32) string {
	return strconv.FormatFloat(number, 'f', int(decimals), 64)
}

// Number is the published text of a value, digit by digit; "missing" where there is no number.
func Number(value *almanac.Value) string {
	if value.GetExact() != "" {
		return value.GetExact()
	}
	if value == nil || value.Number == nil {
		return "missing"
	}
	return Formatted(value.GetNumber(), value.GetDecimals())
}

// Word makes "first release" of CAUSE_FIRST_RELEASE; a number that this client does not know yet stays a number.
func Word(prefix, name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", " ")
}
