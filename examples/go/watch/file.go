package main

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"

	almanac "almanac/v1"

	"google.golang.org/protobuf/proto"
)

// copyFile keeps the messages that made a copy, one a line. A real client has a database, and changes rows and token in one
// transaction. Here one write appends a whole commit, and the next start cuts off what a crash left incomplete.
type copyFile string

// load returns all messages up to the last one that carries a token.
func (file copyFile) load() ([]*almanac.SubscribeResponse, error) {
	data, err := os.ReadFile(string(file))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var messages []*almanac.SubscribeResponse
	whole, length, wholeLength := 0, 0, 0
	for {
		end := bytes.IndexByte(data[length:], '\n')
		if end < 0 {
			// A crash cut off the line after the last line break.
			break
		}
		encoded, err := base64.StdEncoding.DecodeString(string(data[length : length+end]))
		if err != nil {
			return nil, err
		}
		message := &almanac.SubscribeResponse{}
		if err := proto.Unmarshal(encoded, message); err != nil {
			return nil, err
		}
		messages = append(messages, message)
		length += end + 1
		if tokenOf(message) != "" {
			whole, wholeLength = len(messages), length
		}
	}
	return messages[:whole], os.Truncate(string(file), int64(wholeLength))
}

func tokenOf(message *almanac.SubscribeResponse) string {
	switch body := message.GetBody().(type) {
	case *almanac.SubscribeResponse_SnapshotEnd:
		return body.SnapshotEnd.GetResumeToken()
	case *almanac.SubscribeResponse_CommitPage:
		return body.CommitPage.GetResumeToken()
	case *almanac.SubscribeResponse_Progress:
		return body.Progress.GetResumeToken()
	default:
		return ""
	}
}

func (file copyFile) append(messages ...*almanac.SubscribeResponse) error {
	return write(string(file), os.O_APPEND, messages)
}

// replace leaves the old messages or the new ones, also after a crash.
func (file copyFile) replace(messages []*almanac.SubscribeResponse) error {
	fresh := string(file) + ".new"
	if err := write(fresh, os.O_TRUNC, messages); err != nil {
		return err
	}
	return os.Rename(fresh, string(file))
}

func write(path string, mode int, messages []*almanac.SubscribeResponse) error {
	var lines bytes.Buffer
	for _, message := range messages {
		encoded, err := proto.Marshal(message)
		if err != nil {
			return err
		}
		lines.WriteString(base64.StdEncoding.EncodeToString(encoded))
		lines.WriteByte('\n')
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|mode, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, &lines); err != nil {
		return err
	}
	return file.Sync()
}
