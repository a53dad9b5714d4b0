// Package connect opens connections to a server, and reads its errors.
package connect

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	// With this import a client accepts compressed pages.
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// Open opens a new connection. It connects in the background.
func Open(server string) (*grpc.ClientConn, error) {
	return grpc.Dial(server,
		grpc.WithInsecure(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
		// The library's own back-off reaches 120 s. Keep it short: the caller waits.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay:  100 * time.Millisecond,
				Multiplier: 1.6,
				Jitter:     0.2,
				MaxDelay:   time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
}

// Details returns the reason of an error and the time to wait. Only an error of Almanac has a reason, not one of a proxy or the
// library.
func Details(err error) (reason string, wait *time.Duration) {
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "almanac" {
				reason = detail.GetReason()
			}
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay()
			asked := time.Duration(delay.GetSeconds())*time.Second + time.Duration(delay.GetNanos())
			wait = &asked
		}
	}
	if reason == "" {
		return "", nil
	}
	return reason, wait
}
