// Command query asks Almanac for a ranking, for a figure at two points of history, and for a figure that sources disagree about.
//
//	target/go/bin/query [-server HOST:PORT]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	almanac "almanac/v1"
	"example/connect"
	"example/text"
)

func main() {
	server := flag.String("server", "127.0.0.1:50051", "`HOST:PORT` of the server")
	flag.Parse()
	if err := query(*server); err != nil {
		fmt.Fprintf(os.Stderr, "query: %v\n", err)
		os.Exit(1)
	}
}

func query(server string) error {
	connection, err := connect.Open(server)
	if err != nil {
		return err
	}
	defer connection.Close()
	rankings := almanac.NewRankingServiceClient(connection)
	figures := almanac.NewStatisticsServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	// A page may have fewer rows than the request asks for; ten rows fit in one page.
	top, err := rankings.ListEntries(ctx, &almanac.ListEntriesRequest{Ranking: "gii-clusters", Edition: "2025", PageSize: 10})
	if err != nil {
		return err
	}
	title := top.GetEdition().GetTitle()
	if title == "" {
		title = top.GetEdition().GetRanking()
	}
	fmt.Printf("%s, edition %s, answered at revision %d\n", title, top.GetEdition().GetId(), top.GetRevision())
	for _, entry := range top.GetEntries() {
		// The rank may be unset: the edition lists the entity, and its rank is unknown.
		place := "?"
		if entry.Rank != nil {
			place = strconv.Itoa(int(entry.GetRank()))
		}
		fmt.Printf("%4s  %s (%s)\n", place, entry.GetPublishedName(), strings.Join(entry.GetEconomies(), "/"))
	}

	// The same figure at two points of history. `released` asks for what the producer had published by that day.
	fmt.Println("\nR&D spending of China in 2015, % of GDP (GB.XPD.RSDV.GD.ZS)")
	moments := []struct {
		name string
		asOf *almanac.AsOf
	}{
		{"now", nil},
		{"as of 2018-12-31", &almanac.AsOf{At: &almanac.AsOf_Released{Released: "2018-12-31"}}},
	}
	for _, moment := range moments {
		answer, err := figures.GetFigure(ctx, &almanac.GetFigureRequest{
			Indicator: "GB.XPD.RSDV.GD.ZS", Entity: "CHN", Period: "2015", AsOf: moment.asOf,
		})
		if err != nil {
			return err
		}
		selected := answer.GetSelected()
		fmt.Printf("  %s: %s (released %s by %s)\n",
			moment.name, figure(selected.GetValue()), selected.GetReleased(), selected.GetSource())
	}

	// Almanac never merges sources. The policy chooses the one that answers; the others are alternatives.
	answer, err := figures.GetFigure(ctx, &almanac.GetFigureRequest{
		Indicator: "CN.PAT.VALID.ENTERPRISE", Entity: "CHN", Period: "2025-06",
	})
	if err != nil {
		return err
	}
	fmt.Printf("\nInvention patents held by Chinese enterprises, June 2025, %s (policy %s)\n", answer.GetUnit(), answer.GetPolicy())
	fmt.Printf("  selected: %s (%s)\n", figure(answer.GetSelected().GetValue()), answer.GetSelected().GetSource())
	for _, other := range answer.GetAlternatives() {
		fmt.Printf("  also said: %s (%s)\n", figure(other.GetValue()), other.GetSource())
	}
	apart := answer.GetDisagreement()
	if apart.GetCompared() > 1 {
		// The server has applied the multipliers: these are plain numbers, whatever unit each source printed.
		fmt.Printf("  they differ by %s (%.2f%%)\n", grouped(apart.GetSpread()), 100*apart.GetRelativeSpread())
	}
	if apart.GetNotComparable() > 0 {
		fmt.Printf("  %d of them only bounds the figure, or is missing: not compared\n", apart.GetNotComparable())
	}
	return nil
}

// figure is the published text, with its qualifier.
func figure(value *almanac.Value) string {
	number := text.Number(value)
	if number == "missing" {
		return number
	}
	before := ""
	switch value.GetQualifier() {
	case almanac.Qualifier_QUALIFIER_APPROXIMATE:
		before = "about "
	case almanac.Qualifier_QUALIFIER_AT_LEAST:
		before = "at least "
	case almanac.Qualifier_QUALIFIER_AT_MOST:
		before = "at most "
	case almanac.Qualifier_QUALIFIER_RANGE:
		number += " to " + text.Formatted(value.GetUpper(), value.GetDecimals())
	}
	if power := value.GetMultiplierPow10(); power != 0 {
		number += fmt.Sprintf(" x 10^%d", power)
	}
	return before + number
}

// grouped writes a whole number with commas between thousands.
func grouped(number float64) string {
	digits := strconv.FormatFloat(number, 'f', 0, 64)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
