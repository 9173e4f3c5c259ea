// The same API on Go's net/http and pgx. HS256 is verified with the standard library and verified
// tokens are remembered, as the service does.
//
// Environment: PORT, BETTER_AUTH_SECRET, and libpq's PGHOST, PGUSER, PGDATABASE.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	columns  = "id, user_id, title, description, completed, created_at, updated_at"
	ofUser   = " FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
	theTask  = " WHERE id = $1 AND user_id = $2"
	answer   = " RETURNING " + columns
	insert   = "INSERT INTO tasks (user_id, title, description, completed) VALUES ($1, $2, $3, $4)" + answer
	complete = "UPDATE tasks SET completed = coalesce($3, NOT completed), updated_at = clock_timestamp()" + theTask + answer
	update   = "UPDATE tasks SET title = coalesce($3, title), description = coalesce($4, description), " +
		"completed = coalesce($5, completed), updated_at = clock_timestamp()" + theTask + answer
)

type task struct {
	ID          int64     `json:"id"`
	UserID      string    `json:"user_id"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	Completed   bool      `json:"completed"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type input struct {
	Title       *string `json:"title"`
	Description *string `json:"description"`
	Completed   *bool   `json:"completed"`
}

type claims struct {
	Subject string `json:"sub"`
	Expires int64  `json:"exp"`
}

var (
	pool     *pgxpool.Pool
	secret   = []byte(os.Getenv("BETTER_AUTH_SECRET"))
	verified sync.Map // token -> claims
)

func verify(token string) (claims, bool) {
	var found claims
	if known, ok := verified.Load(token); ok {
		found = known.(claims)
	} else {
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			return found, false
		}
		var header struct {
			Algorithm string `json:"alg"`
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(parts[0] + "." + parts[1]))
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || !hmac.Equal(signature, mac.Sum(nil)) ||
			!decode(parts[0], &header) || header.Algorithm != "HS256" || !decode(parts[1], &found) {
			return found, false
		}
		verified.Store(token, found)
	}
	return found, found.Expires > time.Now().Unix()
}

func decode(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

func fail(w http.ResponseWriter, status int) {
	respond(w, status, map[string]string{"detail": http.StatusText(status)})
}

func respond(w http.ResponseWriter, status int, value any) {
	content, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(content)
}

func scan(row pgx.Row, t *task) error {
	return row.Scan(&t.ID, &t.UserID, &t.Title, &t.Description, &t.Completed, &t.CreatedAt, &t.UpdatedAt)
}

func one(w http.ResponseWriter, status int, row pgx.Row) {
	var t task
	switch err := scan(row, &t); {
	case errors.Is(err, pgx.ErrNoRows):
		fail(w, http.StatusNotFound)
	case err != nil:
		fail(w, http.StatusInternalServerError)
	default:
		respond(w, status, t)
	}
}

func list(w http.ResponseWriter, r *http.Request, user string) {
	limit := 1000
	if given := r.URL.Query().Get("limit"); given != "" {
		number, err := strconv.Atoi(given)
		if err != nil || number < 1 || number > 1000 {
			fail(w, http.StatusBadRequest)
			return
		}
		limit = number
	}
	rows, err := pool.Query(r.Context(), "SELECT "+columns+ofUser, user, limit)
	if err != nil {
		fail(w, http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	tasks := make([]task, 0, 20)
	for rows.Next() {
		var t task
		if scan(rows, &t) != nil {
			break
		}
		tasks = append(tasks, t)
	}
	if rows.Err() != nil {
		fail(w, http.StatusInternalServerError)
		return
	}
	respond(w, http.StatusOK, tasks)
}

func serve(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	who, ok := verify(token)
	if !ok {
		fail(w, http.StatusUnauthorized)
		return
	}
	path := strings.Split(r.URL.Path, "/") // "", api, user, tasks, id, complete
	if len(path) < 4 || path[3] != "tasks" {
		fail(w, http.StatusNotFound)
		return
	}
	user := path[2]
	if who.Subject != user {
		fail(w, http.StatusForbidden)
		return
	}
	var id int64
	var err error
	if len(path) > 4 {
		if id, err = strconv.ParseInt(path[4], 10, 64); err != nil {
			fail(w, http.StatusBadRequest)
			return
		}
	}
	var body input
	if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		err = json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body)
		if err != nil && !errors.Is(err, io.EOF) {
			fail(w, http.StatusBadRequest)
			return
		}
	}
	ctx := r.Context()
	switch {
	case len(path) == 4 && r.Method == http.MethodGet:
		list(w, r, user)
	case len(path) == 4 && r.Method == http.MethodPost:
		if body.Title == nil || len(*body.Title) == 0 || len(*body.Title) > 255 {
			fail(w, http.StatusBadRequest)
			return
		}
		completed := body.Completed != nil && *body.Completed
		one(w, http.StatusCreated, pool.QueryRow(ctx, insert, user, body.Title, body.Description, completed))
	case len(path) == 5 && r.Method == http.MethodGet:
		one(w, http.StatusOK, pool.QueryRow(ctx, "SELECT "+columns+" FROM tasks"+theTask, id, user))
	case len(path) == 5 && r.Method == http.MethodPut:
		one(w, http.StatusOK, pool.QueryRow(ctx, update, id, user, body.Title, body.Description, body.Completed))
	case len(path) == 5 && r.Method == http.MethodDelete:
		one(w, http.StatusOK, pool.QueryRow(ctx, "DELETE FROM tasks"+theTask+answer, id, user))
	case len(path) == 6 && path[5] == "complete" && r.Method == http.MethodPatch:
		one(w, http.StatusOK, pool.QueryRow(ctx, complete, id, user, body.Completed))
	default:
		fail(w, http.StatusMethodNotAllowed)
	}
}

func main() {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = 16
	if pool, err = pgxpool.ConnectConfig(context.Background(), config); err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/api/", serve)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
