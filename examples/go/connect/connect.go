// Package connect opens connections to a server, and reads its errors.
package connect

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	// A client that imports this takes compressed pages.
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// Open makes a connection of its own. It connects in the background.
func Open(server string) (*grpc.ClientConn, error) {
	return grpc.Dial(server,
		grpc.WithInsecure(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
		// The library's own back-off reaches 120 s; the caller's decides.
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

// Details are the reason of an error of Almanac itself, and how long it asks to wait. A proxy or the library gives no reason.
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
