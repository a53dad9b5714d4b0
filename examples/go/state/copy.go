package state

import (
	"fmt"
	"strings"

	almanac "almanac/v1"

	"google.golang.org/protobuf/proto"
)

// BrokenPromise is the error of a server that broke a promise of the contract.
type BrokenPromise string

func (broken BrokenPromise) Error() string {
	return "the server broke the promise " + string(broken)
}

// UnknownKind is the error of a client that is too old to know what the server sent, so that its copy could become wrong.
type UnknownKind string

func (unknown UnknownKind) Error() string {
	return "the server sent " + string(unknown) + ": this client is too old to keep a copy"
}

// Expect returns a BrokenPromise if the condition does not hold.
func Expect(holds bool, promise, format string, seen ...interface{}) error {
	if holds {
		return nil
	}
	return BrokenPromise(promise + ": " + fmt.Sprintf(format, seen...))
}

// Copy holds the rows of the state by their keys, and the digest of all rows.
type Copy struct {
	Rows   map[string]proto.Message
	Digest uint64
}

// NewCopy returns a copy without rows.
func NewCopy() *Copy {
	return &Copy{Rows: map[string]proto.Message{}}
}

func (copy *Copy) put(key string, row proto.Message) {
	copy.remove(key)
	copy.Rows[key] = row
	copy.Digest += RowDigest(row)
}

func (copy *Copy) remove(key string) {
	if row, there := copy.Rows[key]; there {
		copy.Digest -= RowDigest(row)
		delete(copy.Rows, key)
	}
}

// AddPage adds rows of a state.
func (copy *Copy) AddPage(page *almanac.SnapshotPage) error {
	for _, row := range page.GetRows() {
		var item proto.Message
		switch row := row.GetItem().(type) {
		case *almanac.StateRow_Figure:
			item = row.Figure
		case *almanac.StateRow_Edition:
			item = row.Edition
		case *almanac.StateRow_Entry:
			item = row.Entry
		case *almanac.StateRow_Definition:
			item = row.Definition
		default:
			return UnknownKind("a row of an unknown kind")
		}
		key, err := keyOf(item)
		if err != nil {
			return err
		}
		if err := Expect(copy.Rows[key] == nil, "Unique", "%s twice in the state", key); err != nil {
			return err
		}
		copy.put(key, item)
	}
	return nil
}

// Apply applies a change as its scope demands. First it checks that the copy has the row that the change has as before.
func (copy *Copy) Apply(change *almanac.Change) error {
	key, before, after, err := sides(change)
	if err != nil {
		return err
	}
	held := copy.Rows[key]
	switch change.GetScope() {
	case almanac.ChangeScope_CHANGE_SCOPE_ENTERED:
		if err := Expect(held == nil && after != nil, "Filtered", "%s entered, and is here already or not sent", key); err != nil {
			return err
		}
		copy.put(key, after)
	case almanac.ChangeScope_CHANGE_SCOPE_CHANGED:
		if err := Expect(held != nil && after != nil, "Filtered", "%s changed, and is not here or not sent", key); err != nil {
			return err
		}
		if err := expectSame(key, before, held); err != nil {
			return err
		}
		copy.put(key, after)
	case almanac.ChangeScope_CHANGE_SCOPE_LEFT:
		if err := Expect(held != nil, "Filtered", "%s left, and is not here", key); err != nil {
			return err
		}
		if err := expectSame(key, before, held); err != nil {
			return err
		}
		copy.remove(key)
	case almanac.ChangeScope_CHANGE_SCOPE_OUTSIDE:
		return Expect(held == nil, "Filtered", "%s is outside, and is here", key)
	default:
		return UnknownKind(fmt.Sprintf("a change of scope %d", change.GetScope()))
	}
	return nil
}

func expectSame(key string, before, held proto.Message) error {
	return Expect(proto.Equal(before, held), "Before-true", "%s was %v, we have %v", key, before, held)
}

// keyOf returns the key of a row. Ids hold no blanks.
func keyOf(row proto.Message) (string, error) {
	switch row := row.(type) {
	case *almanac.Observation:
		return "figure " + figureKey(row), nil
	case *almanac.Edition:
		return "edition " + row.GetRanking() + " " + row.GetId(), nil
	case *almanac.StateEntry:
		return entryKey(row.GetRanking(), row.GetEdition(), row.GetEntry().GetEntity()), nil
	case *almanac.Definition:
		kind, id := Defined(row)
		if kind == "" {
			return "", UnknownKind("a definition of an unknown kind")
		}
		return "definition " + kind + " " + id, nil
	default:
		return "", UnknownKind("a row of an unknown kind")
	}
}

func figureKey(row *almanac.Observation) string {
	dimensions := make([]string, 0, len(row.GetDimensions()))
	for _, dimension := range row.GetDimensions() {
		dimensions = append(dimensions, dimension.GetId()+"="+dimension.GetValue())
	}
	parts := []string{
		row.GetIndicator(), row.GetEntity(), row.GetSource(), strings.Join(dimensions, ";"), row.GetPeriod(),
	}
	return strings.Join(parts, " ")
}

func entryKey(ranking, edition, entity string) string {
	return "entry " + ranking + " " + edition + " " + entity
}

// Defined returns the kind and id of a definition; both are empty if the kind is not known.
func Defined(definition *almanac.Definition) (kind, id string) {
	switch item := definition.GetItem().(type) {
	case *almanac.Definition_Indicator:
		return "indicator", item.Indicator.GetId()
	case *almanac.Definition_Entity:
		return "entity", item.Entity.GetId()
	case *almanac.Definition_Source:
		return "source", item.Source.GetId()
	case *almanac.Definition_Ranking:
		return "ranking", item.Ranking.GetId()
	case *almanac.Definition_Methodology:
		return "methodology", item.Methodology.GetId()
	default:
		return "", ""
	}
}

// sides returns the key of a change, and its row before and after the change; nil if there is none.
func sides(change *almanac.Change) (key string, before, after proto.Message, err error) {
	var either proto.Message
	switch detail := change.GetDetail().(type) {
	case *almanac.Change_Value:
		// A figure that was backfilled behind "no figure" has neither side.
		either = detail.Value.GetRecordedVersion()
		if row := detail.Value.GetBefore(); row != nil {
			before, either = row, row
		}
		if row := detail.Value.GetAfter(); row != nil {
			after, either = row, row
		}
	case *almanac.Change_Entry:
		// A row of the state names the edition of its entry.
		entry := detail.Entry
		if row := entry.GetBefore(); row != nil {
			before = &almanac.StateEntry{Ranking: entry.GetRanking(), Edition: entry.GetEdition(), Entry: row}
		}
		if row := entry.GetAfter(); row != nil {
			after = &almanac.StateEntry{Ranking: entry.GetRanking(), Edition: entry.GetEdition(), Entry: row}
		}
		return entryKey(entry.GetRanking(), entry.GetEdition(), entry.GetEntity()), before, after, nil
	case *almanac.Change_Edition:
		if row := detail.Edition.GetBefore(); row != nil {
			before, either = row, row
		}
		if row := detail.Edition.GetAfter(); row != nil {
			after, either = row, row
		}
	case *almanac.Change_Definition:
		if row := detail.Definition.GetBefore(); row != nil {
			before, either = row, row
		}
		if row := detail.Definition.GetAfter(); row != nil {
			after, either = row, row
		}
	default:
		return "", nil, nil, UnknownKind("a change of an unknown kind")
	}
	key, err = keyOf(either)
	return key, before, after, err
}
