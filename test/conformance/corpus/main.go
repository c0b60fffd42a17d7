// Compiles OPA's conformance cases to WebAssembly, one module per case, into one compact folder:
// chunks.gz (parts of modules, each once, length first) and cases.ndjson.gz (one case per line; a module is a list of
// runs [first, count] of chunks). Modules share nearly all of their functions.
//
// Usage: corpus MODULE_DIR OUTPUT_DIR, where MODULE_DIR holds the sources of the OPA module.
package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/test/cases"
	"github.com/open-policy-agent/opa/v1/types"
)

type suite struct {
	name    string
	dir     string
	version ast.RegoVersion
}

type record struct {
	Suite string `json:"suite"`
	File  string `json:"file"`
	cases.TestCase
	// Texts for readers that must not lose a digit. InputText is term text; absent when there is no input.
	InputText      *string  `json:"input_text,omitempty"`
	DataText       *string  `json:"data_text,omitempty"`
	WantResultText *string  `json:"want_result_text,omitempty"`
	Chunks         [][2]int `json:"chunks"`
}

type job struct {
	suite suite
	test  cases.TestCase
	wasm  []byte
	err   error
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: corpus MODULE_DIR OUTPUT_DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(module, output string) error {
	rego.RegisterBuiltin1(&rego.Function{
		Name: "test.sleep",
		Decl: types.NewFunction(types.Args(types.S), types.NewNull()),
	}, func(rego.BuiltinContext, *ast.Term) (*ast.Term, error) { return ast.NullTerm(), nil })

	var jobs []*job
	for _, s := range []suite{
		{"v0", filepath.Join(module, "v1/test/cases/testdata/v0"), ast.RegoV0},
		{"v1", filepath.Join(module, "v1/test/cases/testdata/v1"), ast.RegoV1},
		{"wasm", filepath.Join(module, "v1/test/wasm/assets"), ast.RegoUndefined},
	} {
		set, err := cases.Load(s.dir + "/")
		if s.name == "wasm" {
			set, err = loadAssets(s.dir)
		}
		if err != nil {
			return err
		}
		for _, test := range set.Cases {
			jobs = append(jobs, &job{suite: s, test: test})
		}
	}

	var wait sync.WaitGroup
	queue := make(chan *job)
	for range runtime.NumCPU() {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for j := range queue {
				j.wasm, j.err = compile(j.suite, j.test)
			}
		}()
	}
	go func() {
		for _, j := range jobs {
			queue <- j
		}
		close(queue)
	}()
	wait.Wait()
	return write(jobs, module, output)
}

// loadAssets reads the cases of the WASM compiler's own test, whose folder holds other files, too.
func loadAssets(dir string) (cases.Set, error) {
	var all cases.Set
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	for _, file := range files {
		set, err := cases.Load(file)
		if err != nil {
			return all, err
		}
		all.Cases = append(all.Cases, set.Cases...)
	}
	return all, err
}

func compile(s suite, test cases.TestCase) ([]byte, error) {
	options := []func(*rego.Rego){rego.Query(test.Query)}
	if s.name == "wasm" {
		for _, name := range []string{"custom_builtin_test_impure", "custom_builtin_test_memoization"} {
			options = append(options, rego.FunctionDecl(&rego.Function{
				Name: name, Decl: types.NewFunction([]types.Type{}, types.N),
			}))
		}
		options = append(options, rego.FunctionDecl(&rego.Function{
			Name: "custom_builtin_test", Decl: types.NewFunction([]types.Type{types.N}, types.N),
		}))
	} else {
		options = append(options, rego.SetRegoVersion(s.version),
			rego.Capabilities(ast.CapabilitiesForThisVersion(ast.CapabilitiesExperimentalKeywords(test.ExperimentalKeywords))))
	}
	for i, module := range test.Modules {
		options = append(options, rego.Module(fmt.Sprintf("module-%d.rego", i), module))
	}
	result, err := rego.New(options...).Compile(context.Background())
	if err != nil {
		return nil, err
	}
	return result.Bytes, nil
}

func write(jobs []*job, module, output string) error {
	if err := os.MkdirAll(output, 0o755); err != nil {
		return err
	}
	chunkFile, err := create(filepath.Join(output, "chunks.gz"))
	if err != nil {
		return err
	}
	caseFile, err := create(filepath.Join(output, "cases.ndjson.gz"))
	if err != nil {
		return err
	}
	known := map[[32]byte]int{}
	for _, j := range jobs {
		if j.err != nil {
			return fmt.Errorf("%s: %s: %w", j.test.Filename, j.test.Note, j.err)
		}
		file, err := filepath.Rel(module, j.test.Filename)
		if err != nil {
			return err
		}
		r := record{Suite: j.suite.name, File: file, TestCase: j.test}
		r.Modules, r.Data, r.Input, r.InputTerm, r.WantResult = nil, nil, nil, nil, nil
		if r.InputText, err = inputText(j.test); err != nil {
			return err
		}
		if j.test.Data != nil {
			if r.DataText, err = jsonText(j.test.Data); err != nil {
				return err
			}
		}
		if j.test.WantResult != nil {
			if r.WantResultText, err = jsonText(j.test.WantResult); err != nil {
				return err
			}
		}
		for _, chunk := range split(j.wasm) {
			id, ok := known[sha256.Sum256(chunk)]
			if !ok {
				id = len(known)
				known[sha256.Sum256(chunk)] = id
				if err := binary.Write(chunkFile, binary.LittleEndian, uint32(len(chunk))); err != nil {
					return err
				}
				if _, err := chunkFile.Write(chunk); err != nil {
					return err
				}
			}
			if last := len(r.Chunks) - 1; last >= 0 && r.Chunks[last][0]+r.Chunks[last][1] == id {
				r.Chunks[last][1]++
			} else {
				r.Chunks = append(r.Chunks, [2]int{id, 1})
			}
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := caseFile.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if err := chunkFile.close(); err != nil {
		return err
	}
	return caseFile.close()
}

func inputText(test cases.TestCase) (*string, error) {
	if test.InputTerm != nil {
		term, err := ast.ParseTerm(*test.InputTerm)
		if err != nil {
			return nil, err
		}
		text := term.String()
		return &text, nil
	}
	if test.Input == nil {
		return nil, nil
	}
	return jsonText(*test.Input)
}

func jsonText(value any) (*string, error) {
	bytes, err := json.Marshal(value)
	text := string(bytes)
	return &text, err
}

// Sections of a module (WebAssembly core specification, 5.5.2).
const (
	custom = 0
	code   = 10
	data   = 11
)

// address gives the length of a data segment's mode and address: 0, i32.const, a number, end.
func address(segment []byte) int {
	if segment[0] != 0 || segment[1] != 0x41 {
		panic("a data segment of another kind")
	}
	at := 2
	for segment[at] >= 0x80 {
		at++
	}
	return at + 2
}

// split cuts a module into its functions, its data segments and the sections between. Of the names for debuggers it
// leaves those of a few functions, by which they are found.
func split(wasm []byte) [][]byte {
	chunks := [][]byte{wasm[:8]}
	for at := 8; at < len(wasm); {
		id := wasm[at]
		size, n := binary.Uvarint(wasm[at+1:])
		start := at + 1 + n
		end := start + int(size)
		switch id {
		case custom:
			chunks = append(chunks, functionNames(wasm[start:end])...)
		case code, data:
			count, n := binary.Uvarint(wasm[start:])
			part := start + n
			chunks = append(chunks, wasm[at:part])
			for range count {
				if id == data {
					n = address(wasm[part:])
				} else {
					n = 0
				}
				length, m := binary.Uvarint(wasm[part+n:])
				next := part + n + m + int(length)
				chunks = append(chunks, wasm[part:next])
				part = next
			}
		default:
			chunks = append(chunks, wasm[at:end])
		}
		at = end
	}
	return chunks
}

// kept are the names that are left, in a section for each pattern: those of OPA's own functions are the same in most modules.
var kept = []*regexp.Regexp{
	regexp.MustCompile(`^opa_(strings|cidr|json)_`),
	regexp.MustCompile(`^(eval|builtin_object_get|opa_object_insert|opa_(value|memoize|mapping)_.*)$`),
	regexp.MustCompile(`^g\d+\.data`),
}

// functionNames gives custom sections with the names that are kept; none when the content is another section's.
func functionNames(content []byte) [][]byte {
	at := 0
	number := func() int {
		value, n := binary.Uvarint(content[at:])
		at += n
		return int(value)
	}
	text := func() string {
		length := number()
		at += length
		return string(content[at-length : at])
	}
	if text() != "name" {
		return nil
	}
	names := make([][]byte, len(kept))
	counts := make([]int, len(kept))
	for at < len(content) {
		part := content[at]
		at++
		length := number()
		if part != 1 {
			at += length
			continue
		}
		for left := number(); left > 0; left-- {
			index, name := number(), text()
			for i, pattern := range kept {
				if pattern.MatchString(name) {
					names[i] = binary.AppendUvarint(names[i], uint64(index))
					names[i] = binary.AppendUvarint(names[i], uint64(len(name)))
					names[i] = append(names[i], name...)
					counts[i]++
				}
			}
		}
	}
	sections := make([][]byte, len(kept))
	for i := range kept {
		vector := append(binary.AppendUvarint(nil, uint64(counts[i])), names[i]...)
		section := append([]byte("\x04name\x01"), binary.AppendUvarint(nil, uint64(len(vector)))...)
		section = append(section, vector...)
		sections[i] = append(append([]byte{custom}, binary.AppendUvarint(nil, uint64(len(section)))...), section...)
	}
	return sections
}

type gzFile struct {
	*gzip.Writer
	buffer *bufio.Writer
	file   *os.File
}

func create(path string) (*gzFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	buffer := bufio.NewWriter(file)
	return &gzFile{gzip.NewWriter(buffer), buffer, file}, nil
}

func (f *gzFile) close() error {
	if err := f.Writer.Close(); err != nil {
		return err
	}
	if err := f.buffer.Flush(); err != nil {
		return err
	}
	return f.file.Close()
}
