package main

import (
	"errors"
	"fmt"
	"strings"

	almanac "almanac/v1"
	"example/state"
	"example/text"
)

// errStartOver means that the client must begin again with the state.
var errStartOver = errors.New("licences of sources changed")

// watch checks and applies streams, one after the other.
type watch struct {
	file     copyFile
	loading  bool
	copy     *state.Copy
	token    string
	revision uint64
	// The last applied commit that matched. The next commit must name it.
	lastCommit uint64
	opened     *almanac.Opened
	// Pages that are not complete yet: of the state, with their rows, or of a commit.
	collected []*almanac.SubscribeResponse
	incoming  *state.Copy
}

func newWatch(path string) (*watch, error) {
	watch := &watch{file: copyFile(path), loading: true}
	watch.startOver()
	messages, err := watch.file.load()
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		if err := watch.take(message); err != nil {
			return nil, err
		}
	}
	watch.loading = false
	return watch, nil
}

func (watch *watch) startOver() {
	watch.copy = state.NewCopy()
	watch.token = ""
	watch.revision = 0
	watch.lastCommit = 0
	watch.opened = nil
	watch.beginStream()
}

// beginStream drops what was incomplete when the last stream ended: the server sends it again from its beginning.
func (watch *watch) beginStream() {
	watch.collected = nil
	watch.incoming = state.NewCopy()
}

func (watch *watch) take(message *almanac.SubscribeResponse) error {
	switch body := message.GetBody().(type) {
	case *almanac.SubscribeResponse_Opened:
		return watch.takeOpened(body.Opened, message)
	case *almanac.SubscribeResponse_SnapshotPage:
		watch.collected = append(watch.collected, message)
		return watch.incoming.AddPage(body.SnapshotPage)
	case *almanac.SubscribeResponse_SnapshotEnd:
		return watch.takeSnapshotEnd(body.SnapshotEnd, message)
	case *almanac.SubscribeResponse_CommitPage:
		return watch.takeCommitPage(body.CommitPage, message)
	case *almanac.SubscribeResponse_Progress:
		return watch.takeProgress(body.Progress, message)
	default:
		// Lag and Goodbye do not change the copy. A message of a kind that this client does not know is ignored.
		return nil
	}
}

func (watch *watch) takeOpened(opened *almanac.Opened, message *almanac.SubscribeResponse) error {
	if watch.token == "" {
		watch.opened = opened
		watch.collected = append(watch.collected, message)
		return nil
	}
	// The server refuses a token of another history. The client checks it all the same.
	if err := state.Expect(opened.GetHistoryId() == watch.opened.GetHistoryId(),
		"Resumable", "the server's history is another one"); err != nil {
		return err
	}
	if err := state.Expect(opened.GetStartRevision() == watch.revision,
		"Resumable", "had everything to %d, resumed at %d", watch.revision, opened.GetStartRevision()); err != nil {
		return err
	}
	// Ids hold no blanks.
	if strings.Join(opened.GetLeftOutSources(), " ") != strings.Join(watch.opened.GetLeftOutSources(), " ") {
		return errStartOver
	}
	return nil
}

func (watch *watch) takeSnapshotEnd(end *almanac.SnapshotEnd, message *almanac.SubscribeResponse) error {
	copy := watch.incoming
	rows := uint64(len(copy.Rows))
	// This proves that no row is missing and none came twice.
	if err := state.Expect(end.GetRowCount() == rows && end.GetDigest() == copy.Digest,
		"Reliable", "%d rows with digest %016x sent, %d with %016x arrived",
		end.GetRowCount(), end.GetDigest(), rows, copy.Digest); err != nil {
		return err
	}
	if !watch.loading {
		if err := watch.file.replace(append(watch.collected, message)); err != nil {
			return err
		}
		fmt.Printf("state at revision %d: %d rows, digest %016x\n", end.GetRevision(), rows, end.GetDigest())
	}
	watch.copy = copy
	watch.revision = end.GetRevision()
	watch.lastCommit = 0
	watch.token = end.GetResumeToken()
	watch.beginStream()
	return nil
}

func (watch *watch) takeCommitPage(page *almanac.CommitPage, message *almanac.SubscribeResponse) error {
	revision := page.GetRevision()
	if err := state.Expect(int(page.GetPage()) == len(watch.collected),
		"Reliable", "page %d of revision %d", page.GetPage(), revision); err != nil {
		return err
	}
	if page.GetPage() == 0 {
		if err := state.Expect(revision > watch.revision,
			"Ordered", "revision %d after %d", revision, watch.revision); err != nil {
			return err
		}
		if err := state.Expect(page.GetPrevMatchingRevision() == watch.lastCommit,
			"Chained", "revision %d follows %d, we have %d",
			revision, page.GetPrevMatchingRevision(), watch.lastCommit); err != nil {
			return err
		}
	} else {
		first := watch.collected[0].GetCommitPage().GetRevision()
		if err := state.Expect(revision == first, "Atomic", "revision %d within %d", revision, first); err != nil {
			return err
		}
	}
	watch.collected = append(watch.collected, message)
	if !page.GetLastPage() {
		return nil
	}
	// Only now is the commit complete. (Write millions of changes to a database as they arrive, in one open transaction.)
	var changes []*almanac.Change
	for _, one := range watch.collected {
		changes = append(changes, one.GetCommitPage().GetChanges()...)
	}
	for _, change := range changes {
		if err := watch.copy.Apply(change); err != nil {
			return err
		}
	}
	if !watch.loading {
		if err := watch.file.append(watch.collected...); err != nil {
			return err
		}
		cause := text.Word("CAUSE_", watch.collected[0].GetCommitPage().GetCommit().GetCause().String())
		fmt.Printf("revision %d (%s), digest %016x: %d changes\n", revision, cause, watch.copy.Digest, len(changes))
		for _, change := range changes {
			fmt.Printf("  %s\n", changeLine(change))
		}
	}
	watch.revision = revision
	watch.lastCommit = revision
	watch.token = page.GetResumeToken()
	watch.beginStream()
	return nil
}

func (watch *watch) takeProgress(progress *almanac.Progress, message *almanac.SubscribeResponse) error {
	if err := state.Expect(len(watch.collected) == 0,
		"Atomic", "progress %d within a commit", progress.GetRevision()); err != nil {
		return err
	}
	if progress.GetRevision() <= watch.revision {
		return nil
	}
	if !watch.loading {
		if err := watch.file.append(message); err != nil {
			return err
		}
	}
	watch.revision = progress.GetRevision()
	watch.token = progress.GetResumeToken()
	return nil
}

// reached returns whether the copy is at a revision; nil is no revision.
func (watch *watch) reached(until *uint64) bool {
	return until != nil && watch.token != "" && watch.revision >= *until
}

func changeLine(change *almanac.Change) string {
	switch detail := change.GetDetail().(type) {
	case *almanac.Change_Value:
		value := detail.Value
		row := value.GetRecordedVersion()
		before, after := "-", "-"
		if value.GetBefore() != nil {
			row = value.GetBefore()
			before = text.Number(row.GetValue())
		}
		if value.GetAfter() != nil {
			row = value.GetAfter()
			after = text.Number(row.GetValue())
		}
		return fmt.Sprintf("%s %s %s (%s): %s -> %s, %s", row.GetIndicator(), row.GetEntity(), row.GetPeriod(), row.GetSource(),
			before, after, text.Word("VALUE_MOVE_", value.GetMove().String()))
	case *almanac.Change_Entry:
		entry := detail.Entry
		// A move is compared with another edition, or with the same edition before a correction.
		earlier := entry.GetCompared()
		if entry.GetComparedWith() == entry.GetEdition() {
			earlier = entry.GetBefore()
		}
		return fmt.Sprintf("%s %s %s: %s -> %s, %s", entry.GetRanking(), entry.GetEdition(), entry.GetEntity(),
			rankText(earlier), rankText(entry.GetAfter()), text.Word("MOVEMENT_", entry.GetMovement().String()))
	case *almanac.Change_Edition:
		edition := detail.Edition.GetAfter()
		what := text.Word("EDITION_STATUS_", edition.GetStatus().String())
		if edition == nil {
			edition = detail.Edition.GetBefore()
			what = "taken back"
		}
		if detail.Edition.GetRecordedVersion() != nil {
			what = "older version filled in"
		}
		return fmt.Sprintf("edition %s %s: %s", edition.GetRanking(), edition.GetId(), what)
	case *almanac.Change_Definition:
		before, after := detail.Definition.GetBefore(), detail.Definition.GetAfter()
		switch {
		case after == nil:
			kind, id := state.Defined(before)
			return fmt.Sprintf("%s %s: taken back", kind, id)
		case before == nil:
			kind, id := state.Defined(after)
			return fmt.Sprintf("%s %s: new", kind, id)
		default:
			kind, id := state.Defined(after)
			return fmt.Sprintf("%s %s: changed", kind, id)
		}
	default:
		return "a kind of change that this client does not know"
	}
}

func rankText(entry *almanac.Entry) string {
	if entry == nil || entry.Rank == nil {
		return "-"
	}
	return fmt.Sprint(entry.GetRank())
}
