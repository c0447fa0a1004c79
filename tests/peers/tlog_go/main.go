// A verifier of logs made of golang.org/x/mod/sumdb: note opens checkpoints, tlog checks proofs and reads tiles.
//
// Reads one question a line (JSON) and answers each with one line: {"ok": true, …} or {"ok": false, "error": "…"}.
//
//	{"ask": "open", "note": …, "keys": [verifier key, …]}                      is the checkpoint signed by all of the keys?
//	{"ask": "record", "leaf", "index", "size", "root", "proof"}                is the leaf in the tree?
//	{"ask": "tree", "old_size", "old_root", "size", "root", "proof"}           does the tree only add to the old one?
//	{"ask": "tiles", "source", "size", "root", "indexes", "old_size", "old_root"}
//
// The last reads tiles and entries (C2SP tlog-tiles) from a folder or over HTTP, proves every index and the old tree
// from them alone, and answers with the entries. Bytes travel in base 64.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // 256 hashes a tile

type question struct {
	Ask     string   `json:"ask"`
	Note    string   `json:"note"`
	Keys    []string `json:"keys"`
	Leaf    []byte   `json:"leaf"`
	Index   int64    `json:"index"`
	Size    int64    `json:"size"`
	Root    []byte   `json:"root"`
	OldSize int64    `json:"old_size"`
	OldRoot []byte   `json:"old_root"`
	Proof   [][]byte `json:"proof"`
	Source  string   `json:"source"`
	Indexes []int64  `json:"indexes"`
}

type answer struct {
	Ok      bool     `json:"ok"`
	Error   string   `json:"error,omitempty"`
	Origin  string   `json:"origin,omitempty"`
	Size    int64    `json:"size,omitempty"`
	Root    []byte   `json:"root,omitempty"`
	Entries [][]byte `json:"entries,omitempty"`
}

func main() {
	questions := bufio.NewScanner(os.Stdin)
	questions.Buffer(nil, 64<<20)
	answers := json.NewEncoder(os.Stdout)
	for questions.Scan() {
		var asked question
		said, err := answer{}, json.Unmarshal(questions.Bytes(), &asked)
		if err == nil {
			said, err = verdict(&asked)
		}
		if err != nil {
			said = answer{Error: err.Error()}
		} else {
			said.Ok = true
		}
		if err := answers.Encode(said); err != nil {
			os.Exit(1)
		}
	}
	if questions.Err() != nil {
		os.Exit(1)
	}
}

func verdict(asked *question) (answer, error) {
	switch asked.Ask {
	case "open":
		return open(asked)
	case "record":
		return answer{}, checkRecord(asked)
	case "tree":
		return answer{}, checkTree(asked)
	case "tiles":
		return readTiles(asked)
	}
	return answer{}, fmt.Errorf("unknown question %q", asked.Ask)
}

func open(asked *question) (answer, error) {
	var known []note.Verifier
	for _, key := range asked.Keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return answer{}, err
		}
		known = append(known, verifier)
	}
	opened, err := note.Open([]byte(asked.Note), note.VerifierList(known...))
	if err != nil {
		return answer{}, err
	}
	if len(opened.Sigs) != len(known) {
		return answer{}, fmt.Errorf("%d of %d keys have signed", len(opened.Sigs), len(known))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] == "" || lines[3] != "" {
		return answer{}, errors.New("the text is not the three lines of a checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] || size < 0 {
		return answer{}, errors.New("the size is none")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return answer{}, errors.New("the root is no hash")
	}
	return answer{Origin: lines[0], Size: size, Root: root}, nil
}

func checkRecord(asked *question) error {
	proof, err := hashesOf(asked.Proof)
	if err != nil {
		return err
	}
	root, err := hashOf(asked.Root)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(tlog.RecordProof(proof), asked.Size, root, asked.Index, tlog.RecordHash(asked.Leaf))
}

func checkTree(asked *question) error {
	proof, err := hashesOf(asked.Proof)
	if err != nil {
		return err
	}
	root, err := hashOf(asked.Root)
	if err != nil {
		return err
	}
	oldRoot, err := hashOf(asked.OldRoot)
	if err != nil {
		return err
	}
	return tlog.CheckTree(tlog.TreeProof(proof), asked.Size, root, asked.OldSize, oldRoot)
}

func readTiles(asked *question) (answer, error) {
	root, err := hashOf(asked.Root)
	if err != nil {
		return answer{}, err
	}
	tree := tlog.Tree{N: asked.Size, Hash: root}
	source := source(asked.Source)
	hashes := tlog.TileHashReader(tree, source)
	reached, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return answer{}, err
	}
	if reached != root {
		return answer{}, errors.New("the tiles lead to another root")
	}
	if asked.OldSize > 0 {
		oldRoot, err := hashOf(asked.OldRoot)
		if err != nil {
			return answer{}, err
		}
		proof, err := tlog.ProveTree(tree.N, asked.OldSize, hashes)
		if err != nil {
			return answer{}, err
		}
		if err := tlog.CheckTree(proof, tree.N, root, asked.OldSize, oldRoot); err != nil {
			return answer{}, err
		}
	}
	var entries [][]byte
	for _, index := range asked.Indexes {
		entry, err := source.entry(index, tree.N)
		if err != nil {
			return answer{}, err
		}
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return answer{}, err
		}
		if err := tlog.CheckRecord(proof, tree.N, root, index, tlog.RecordHash(entry)); err != nil {
			return answer{}, fmt.Errorf("entry %d: %w", index, err)
		}
		entries = append(entries, entry)
	}
	return answer{Entries: entries}, nil
}

// A source is a folder, or the URL of a log, that tiles are read from.
type source string

func (from source) Height() int { return height }

func (from source) SaveTiles([]tlog.Tile, [][]byte) {}

func (from source) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var contents [][]byte
	for _, tile := range tiles {
		// Go's own paths name the height, those of C2SP do not.
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		content, err := from.read(path)
		if err != nil {
			return nil, err
		}
		if len(content) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", path, len(content))
		}
		contents = append(contents, content)
	}
	return contents, nil
}

func (from source) entry(index, size int64) ([]byte, error) {
	tile := tlog.Tile{H: height, L: 0, N: index >> height, W: 1 << height}
	if rest := size - tile.N<<height; rest < 1<<height {
		tile.W = int(rest)
	}
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)
	bundle, err := from.read(path)
	if err != nil {
		return nil, err
	}
	var found []byte
	count := 0
	for ; len(bundle) > 0; count++ {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, fmt.Errorf("%s ends within an entry", path)
		}
		length := int(binary.BigEndian.Uint16(bundle))
		if int64(count) == index%(1<<height) {
			found = bundle[2 : 2+length]
		}
		bundle = bundle[2+length:]
	}
	if count != tile.W {
		return nil, fmt.Errorf("%s has %d entries", path, count)
	}
	return found, nil
}

func (from source) read(path string) ([]byte, error) {
	if !strings.HasPrefix(string(from), "http") {
		return os.ReadFile(filepath.Join(string(from), filepath.FromSlash(path)))
	}
	response, err := http.Get(string(from) + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func hashesOf(raw [][]byte) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, one := range raw {
		hash, err := hashOf(one)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

func hashOf(raw []byte) (tlog.Hash, error) {
	var hash tlog.Hash
	if copy(hash[:], raw) != tlog.HashSize || len(raw) != tlog.HashSize {
		return hash, errors.New("no SHA-256 hash")
	}
	return hash, nil
}
