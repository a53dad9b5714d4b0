// Command watch keeps a copy of the state of Almanac. It misses no change, repeats none, and resumes after a crash of either
// side.
//
//	target/go/bin/watch [-server HOST:PORT] [-state-file FILE] [-ranking ID]... [-indicator ID]...
//
// The first run begins with the state. A later run with the same state file begins exactly after the last applied commit.
// `-until head` or `-until REVISION` ends it there.
//
// What a follower has to do, and where this program does it:
//
//   - apply a whole commit at its last page, never a part of it (takeCommitPage), and the state when it is complete
//     (takeSnapshotEnd);
//   - store the token together with the applied changes (copyFile);
//   - tell a dead connection from a quiet one by its own clock (receive);
//   - reconnect with the token after a growing, random wait (follow), and drop the token only for reasons that are about the token
//     (startOver);
//   - verify the chain of commits (takeCommitPage), each change against the copy (state.Copy.Apply), and the digest of the state.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"

	almanac "almanac/v1"
	"example/connect"
	"example/state"
	"example/text"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	missedIntervals = 3
	// The longest wait for the first message. Connecting takes time, and a server may wait 2 s for the revision of a token.
	opening       = 5 * time.Second
	shortestBound = 100 * time.Millisecond
	longestBound  = 10 * time.Second
)

// With these reasons the token itself is refused: the client begins again with the state. TOKEN_AHEAD is not
// among them, because the server catches up.
var startOver = map[string]bool{
	"TOKEN_MALFORMED": true, "TOKEN_OUTDATED": true, "TOKEN_OTHER_HISTORY": true, "BELOW_FLOOR": true,
}

// With one of these statuses and a reason, the request can never work.
var hopeless = map[codes.Code]bool{
	codes.InvalidArgument: true, codes.FailedPrecondition: true, codes.OutOfRange: true, codes.NotFound: true,
	codes.PermissionDenied: true, codes.Unauthenticated: true, codes.Unimplemented: true, codes.DataLoss: true,
}

type follower struct {
	server   string
	watch    *watch
	filters  []*almanac.Filter
	interval time.Duration
	until    *uint64
}

// ending is why a stream ended, and the time to wait before the next one; without it the follower chooses.
type ending struct {
	why  string
	wait *time.Duration
}

// follow subscribes again and again, until the copy is at its revision or an error is final.
func (follower *follower) follow() error {
	bound := shortestBound
	for !follower.watch.reached(follower.until) {
		opened := false
		end, err := follower.stream(&opened)
		if err != nil {
			return err
		}
		if follower.watch.reached(follower.until) {
			return nil
		}
		if opened {
			bound = shortestBound
		}
		wait := end.wait
		if wait == nil {
			// The bound of the wait doubles, and the wait is random below it: so clients do not all reconnect at once.
			drawn := time.Duration(rand.Int63n(int64(bound)))
			wait = &drawn
			if bound *= 2; bound > longestBound {
				bound = longestBound
			}
		}
		fmt.Fprintf(os.Stderr, "%s; coming back in %.1f s\n", end.why, wait.Seconds())
		time.Sleep(*wait)
	}
	return nil
}

// stream reads one stream to its end.
func (follower *follower) stream(opened *bool) (ending, error) {
	watch := follower.watch
	request := &almanac.SubscribeRequest{
		Filters:          follower.filters,
		ProgressInterval: durationpb.New(follower.interval),
		DigestVersion:    state.DigestVersion,
	}
	if watch.token != "" {
		request.Start = &almanac.SubscribeRequest_ResumeToken{ResumeToken: watch.token}
	} else {
		request.Start = &almanac.SubscribeRequest_State{State: &almanac.StartState{}}
	}
	watch.beginStream()

	// Each stream gets a new connection, because the old one may be dead and not know it.
	connection, err := connect.Open(follower.server)
	if err != nil {
		return ending{}, err
	}
	defer connection.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	silence := missedIntervals * follower.interval
	allowed := silence
	if allowed < opening {
		allowed = opening
	}
	clock := &silenceClock{cancel: cancel}
	var stream almanac.FeedService_SubscribeClient
	err = clock.during(allowed, func() error {
		stream, err = almanac.NewFeedServiceClient(connection).Subscribe(ctx, request)
		return err
	})

	end := ending{why: "the stream ended"}
	for err == nil {
		var message *almanac.SubscribeResponse
		err = clock.during(allowed, func() error {
			message, err = stream.Recv()
			return err
		})
		if err != nil {
			break
		}
		*opened = true
		allowed = silence
		if err := watch.take(message); errors.Is(err, errStartOver) {
			watch.startOver()
			return ending{err.Error(), new(time.Duration)}, nil
		} else if err != nil {
			return ending{}, err
		}
		if watch.reached(follower.until) {
			return ending{}, nil
		}
		if goodbye := message.GetGoodbye(); goodbye != nil {
			// The server ends the stream and says when to reconnect. The client needs no other token than its own.
			wait := goodbye.GetReconnectAfter().AsDuration()
			end = ending{text.Word("GOODBYE_REASON_", goodbye.GetReason().String()), &wait}
		}
	}
	if clock.ranOut {
		return ending{why: "the server is silent"}, nil
	}
	if end.wait != nil || err == io.EOF {
		return end, nil
	}
	reason, wait := connect.Details(err)
	if startOver[reason] {
		watch.startOver()
		why := fmt.Sprintf("%s: %s; what changed until the next state is not told", reason, status.Convert(err).Message())
		return ending{why: why}, nil
	}
	if reason != "" && hopeless[status.Code(err)] {
		return ending{}, err
	}
	return ending{status.Convert(err).Message(), wait}, nil
}

// silenceClock cancels a call when no message comes for too long. The clock runs only while the client waits for a message, not
// while it applies one.
type silenceClock struct {
	cancel context.CancelFunc
	ranOut bool
}

func (clock *silenceClock) during(allowed time.Duration, wait func() error) error {
	timer := time.AfterFunc(allowed, clock.cancel)
	err := wait()
	if !timer.Stop() && err != nil {
		clock.ranOut = true
	}
	return err
}

// list is an option that can be repeated.
type list []string

func (list *list) String() string { return strings.Join(*list, " ") }

func (list *list) Set(value string) error {
	*list = append(*list, value)
	return nil
}

func main() {
	rand.Seed(time.Now().UnixNano())
	server := flag.String("server", "127.0.0.1:50051", "`HOST:PORT` of the server")
	stateFile := flag.String("state-file", "almanac-watch.state", "`FILE` of the copy")
	interval := flag.Float64("interval", 1, "progress interval in `SECONDS`; after three without a message the connection counts as dead")
	until := flag.String("until", "", "stop at this `REVISION`, or at the head of now")
	var rankings, indicators list
	flag.Var(&rankings, "ranking", "only this ranking `ID`; may be repeated")
	flag.Var(&indicators, "indicator", "only this indicator `ID`; may be repeated")
	flag.Parse()

	// A token belongs to its filters: with other filters the server refuses it. A change matches a filter if all its fields accept
	// it, so rankings and indicators are two filters.
	var filters []*almanac.Filter
	if len(rankings) > 0 {
		filters = append(filters, &almanac.Filter{Name: "rankings", Rankings: rankings})
	}
	if len(indicators) > 0 {
		filters = append(filters, &almanac.Filter{Name: "indicators", Indicators: indicators})
	}
	follower := &follower{server: *server, filters: filters, interval: time.Duration(*interval * float64(time.Second))}
	if err := run(follower, *stateFile, *until); err != nil {
		fmt.Fprintf(os.Stderr, "watch: %v\n", err)
		os.Exit(1)
	}
}

func run(follower *follower, stateFile, until string) error {
	end, err := revisionNamed(follower.server, until)
	if err != nil {
		return err
	}
	follower.until = end
	follower.watch, err = newWatch(stateFile)
	if err != nil {
		return err
	}
	return follower.follow()
}

// revisionNamed returns the revision that `-until` names; nil without one.
func revisionNamed(server, until string) (*uint64, error) {
	switch until {
	case "":
		return nil, nil
	case "head":
		connection, err := connect.Open(server)
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		feed := almanac.NewFeedServiceClient(connection)
		answer, err := feed.GetHead(ctx, &almanac.GetHeadRequest{}, grpc.WaitForReady(true))
		if err != nil {
			return nil, err
		}
		head := answer.GetHead()
		return &head, nil
	default:
		revision, err := strconv.ParseUint(until, 10, 64)
		return &revision, err
	}
}
