package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/lib/pq"
)

var tests int
var failed bool

func ok(passed bool, name string, diagnostics ...interface{}) {
	tests++
	if passed {
		fmt.Printf("ok %d - %s\n", tests, name)
		return
	}
	failed = true
	fmt.Printf("not ok %d - %s\n", tests, name)
	fmt.Fprintln(os.Stderr, "# "+strings.ReplaceAll(fmt.Sprint(diagnostics...), "\n", "\n# "))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func where(user string) string {
	return fmt.Sprintf("host=%s port=%s dbname=hr_prod sslmode=disable user=%s", os.Getenv("PGHOST"), os.Getenv("PGPORT"), user)
}

var ctx = context.Background()

// A pool of one, so that what comes next has the connection of before.
func connect(user string) *sql.DB {
	db, err := sql.Open("postgres", where(user))
	must(err)
	db.SetMaxOpenConns(1)
	return db
}

func value(db *sql.DB, query string, args ...interface{}) string {
	var result string
	must(db.QueryRow(query, args...).Scan(&result))
	return result
}

var anna, dev *sql.DB

// The number of a request of dev, who has no access
func ask() string {
	_, err := dev.Exec("SELECT jit_revoke(request) FROM jit.active_grants")
	must(err)
	// for longer each time, so that it isn't what is pending
	return value(dev, "SELECT jit_request($1, $2::interval + (clock_timestamp() - pg_postmaster_start_time()), $3)",
		"SELECT ON hr.salary", "1 hour", "payroll totals wrong")
}

func status(request string) string {
	return value(dev, "SELECT status FROM jit.my_requests WHERE request = $1", request)
}

func passes(name string, code func(request string) error) {
	n := ask()
	err := code(n)
	ok(err == nil && status(n) == "active", name, err, status(n))
}

var byItself = regexp.MustCompile(`^Send SELECT jit_approve\(\.\.\.\); by itself, without a cursor `)

func refused(name string, code func(request string) error) {
	n := ask()
	e, _ := code(n).(*pq.Error)
	ok(e != nil && e.Code == "42501" && byItself.MatchString(e.Hint) && status(n) == "pending", name, e, status(n))
}

func run(query string) func(string) error {
	return func(n string) error {
		_, err := anna.Exec(query, n)
		return err
	}
}

func main() {
	anna, dev = connect("anna"), connect("dev")
	passes("parameters", run("SELECT jit_approve($1)"))
	passes("a cast", run("SELECT jit_approve($1::int)"))
	passes("a simple query", func(n string) error {
		_, err := anna.Exec("SELECT jit_approve(" + n + ")")
		return err
	})
	passes("prepared", func(n string) error {
		s, err := anna.Prepare("SELECT jit_approve($1)")
		must(err)
		defer s.Close()
		_, err = s.Exec(n)
		return err
	})
	passes("a transaction", func(n string) error {
		tx, err := anna.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		must(err)
		_, err = tx.Exec("SELECT jit_approve($1)", n)
		must(err)
		return tx.Commit()
	})
	refused("dev's function, with a parameter", run("SELECT dev.outcome($1)"))
	refused("dev's view, with a parameter", run("SELECT outcome FROM dev.report WHERE request = $1"))
	refused("DO", func(n string) error {
		_, err := anna.Exec("DO $$ BEGIN PERFORM jit_approve(" + n + "); END $$")
		return err
	})

	story()
	fmt.Printf("1..%d\n", tests)
	if failed {
		os.Exit(1)
	}
}

// From the denial to the end, on one connection of dev's
func story() {
	came := make(chan string, 100)
	listener := pq.NewListener(where("dev"), time.Second, time.Second, nil)
	must(listener.Listen("jit_access"))
	go func() {
		for n := range listener.Notify {
			if n != nil {
				came <- n.Extra
			}
		}
	}()
	_, err := dev.Exec("SELECT jit_revoke(request) FROM jit.active_grants")
	must(err)
	_, err = dev.Exec("SELECT jit_cancel(request) FROM jit.my_requests WHERE status = 'pending'")
	must(err)
	pid := value(dev, "SELECT pg_backend_pid()")
	var count string
	e, _ := dev.QueryRow("SELECT count(*) FROM hr.salary").Scan(&count).(*pq.Error)
	ok(e != nil && e.Code == "42501" && strings.Contains(e.Hint, "jit_request('SELECT ON hr.salary'"), "a denial, with its hint", e)
	n := value(dev, "SELECT jit_request($1, $2::interval, $3)", "SELECT ON hr.salary", "3 s", "payroll totals wrong")
	must(run("SELECT jit_approve($1)")(n))
	ok(value(dev, "SELECT count(*) FROM hr.salary") == "100", "access")
	e, _ = dev.QueryRow("SELECT count(pg_sleep(60)) FROM hr.salary").Scan(&count).(*pq.Error)
	ok(e != nil && e.Code == "57014" && strings.HasPrefix(e.Detail, "Request "+n+" in hr_prod expired") && strings.Contains(e.Hint, "SELECT jit_extend("+n+")"), "a cut-off, with its hint", e)
	ok(value(dev, "SELECT pg_backend_pid()") == pid, "the connection lives on")
	e, _ = dev.QueryRow("SELECT count(*) FROM hr.salary").Scan(&count).(*pq.Error)
	ok(e != nil && e.Code == "42501", "a denial", e)
	activated := regexp.MustCompile(`"event" ?: ?"activated".*"request" ?: ?` + n + `\b`)
	for {
		select {
		case text := <-came:
			if activated.MatchString(text) {
				ok(true, "the notification came")
				return
			}
		case <-time.After(30 * time.Second):
			ok(false, "the notification came")
			return
		}
	}
}
