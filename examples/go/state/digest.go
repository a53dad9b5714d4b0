// Package state holds a copy of the state of Almanac that the changes of the feed keep up to date, and its digest (version 2).
//
// It follows docs/feed.md.
package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// DigestVersion is the version of the digest that RowDigest computes.
const DigestVersion = 2

// The fields of digest version 2, by message, in the order of the digest. A field that the contract adds later is not part of it.
var digestFields = map[protoreflect.Name]string{
	"Observation": "indicator entity source dimensions period value released recorded revision cause",
	"Dimension":   "id value",
	"Value":       "number decimals exact multiplier_pow10 qualifier upper status missing comment",
	"Timestamp":   "seconds nanos",
	"Edition": "ranking id title status basis about coverage methodology released source note entry_count revision recorded " +
		"compared_with",
	"Coverage":             "kind listed universe complete_to",
	"StateEntry":           "ranking edition entry",
	"Entry":                "entity published_name economies rank tied score components previous disputed note",
	"EntryComponent":       "id raw score rank data_year",
	"RankClaim":            "rank edition claimed_by",
	"Definition":           "indicator entity source ranking methodology",
	"Indicator":            "id name unit direction default_decimals definition frequency licence timing",
	"Entity":               "id kind name codes names relations",
	"EntityCode":           "scheme value",
	"EntityName":           "text language valid_from valid_to",
	"EntityRelation":       "kind entity valid_from valid_to",
	"Source":               "id producer title published url licence redistribution precedence",
	"Ranking":              "id name subject source description",
	"Methodology":          "id description components aggregation",
	"MethodologyComponent": "id name weight direction parent aggregation",
}

var digestLetters = map[protoreflect.Name]string{"Observation": "F", "Edition": "R", "StateEntry": "E", "Definition": "D"}

// RowDigest is what a row adds to the digest of the state: an Observation, Edition, StateEntry or Definition.
func RowDigest(row proto.Message) uint64 {
	message := row.ProtoReflect()
	sum := sha256.Sum256([]byte(digestLetters[message.Descriptor().Name()] + messageText(message)))
	return binary.LittleEndian.Uint64(sum[:8])
}

func messageText(message protoreflect.Message) string {
	var text strings.Builder
	described := message.Descriptor().Fields()
	for _, name := range strings.Fields(digestFields[message.Descriptor().Name()]) {
		text.WriteString(withLength(fieldText(message, described.ByName(protoreflect.Name(name)))))
	}
	return text.String()
}

func withLength(text string) string {
	return strconv.Itoa(len(text)) + ":" + text
}

func fieldText(message protoreflect.Message, field protoreflect.FieldDescriptor) string {
	if !message.Has(field) {
		return ""
	}
	if !field.IsList() {
		return itemText(field, message.Get(field))
	}
	var text strings.Builder
	list := message.Get(field).List()
	for at := 0; at < list.Len(); at++ {
		text.WriteString(withLength(itemText(field, list.Get(at))))
	}
	return text.String()
}

func itemText(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return messageText(value.Message())
	case protoreflect.EnumKind:
		return strconv.Itoa(int(value.Enum()))
	case protoreflect.DoubleKind:
		return fmt.Sprintf("%016x", math.Float64bits(value.Float()))
	case protoreflect.BoolKind:
		if value.Bool() {
			return "1"
		}
		return "0"
	default:
		// Strings, and integers in decimal.
		return value.String()
	}
}
