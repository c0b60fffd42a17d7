// Writes MaxMind DB files (https://maxmind.github.io/MaxMind-DB/) for tests, with MaxMind's own writer.
//
// Usage: mmdb < DATABASE.json > DATABASE.mmdb. The JSON has `type`, `ip_version`, `record_size`, `build_epoch`, and
// `networks`, a list of [CIDR, record]. Numbers are doubles; {"uint16": 5} and the like have a type of their own.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strconv"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

type database struct {
	Type       string   `json:"type"`
	IPVersion  int      `json:"ip_version"`
	RecordSize int      `json:"record_size"`
	BuildEpoch int64    `json:"build_epoch"`
	Networks   [][2]any `json:"networks"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var wanted database
	decoder := json.NewDecoder(in)
	decoder.UseNumber()
	if err := decoder.Decode(&wanted); err != nil {
		return err
	}
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType:            wanted.Type,
		Description:             map[string]string{"en": "for tests"},
		Languages:               []string{"en"},
		IPVersion:               wanted.IPVersion,
		RecordSize:              wanted.RecordSize,
		BuildEpoch:              wanted.BuildEpoch,
		IncludeReservedNetworks: true,
	})
	if err != nil {
		return err
	}
	for _, entry := range wanted.Networks {
		text, ok := entry[0].(string)
		if !ok {
			return fmt.Errorf("%v is no network", entry[0])
		}
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			return err
		}
		value, err := typed(entry[1])
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if err := tree.Insert(network, value); err != nil {
			return err
		}
	}
	buffered := bufio.NewWriter(out)
	if _, err := tree.WriteTo(buffered); err != nil {
		return err
	}
	return buffered.Flush()
}

func typed(value any) (mmdbtype.DataType, error) {
	switch value := value.(type) {
	case string:
		return mmdbtype.String(value), nil
	case bool:
		return mmdbtype.Bool(value), nil
	case json.Number:
		number, err := value.Float64()
		return mmdbtype.Float64(number), err
	case []any:
		list := make(mmdbtype.Slice, len(value))
		for i, item := range value {
			inner, err := typed(item)
			if err != nil {
				return nil, err
			}
			list[i] = inner
		}
		return list, nil
	case map[string]any:
		for name, convert := range scalars {
			if inner, ok := value[name]; ok && len(value) == 1 {
				return convert(fmt.Sprint(inner))
			}
		}
		object := make(mmdbtype.Map, len(value))
		for key, item := range value {
			inner, err := typed(item)
			if err != nil {
				return nil, err
			}
			object[mmdbtype.String(key)] = inner
		}
		return object, nil
	}
	return nil, fmt.Errorf("%T has no counterpart", value)
}

var scalars = map[string]func(string) (mmdbtype.DataType, error){
	"uint16": func(text string) (mmdbtype.DataType, error) {
		number, err := strconv.ParseUint(text, 10, 16)
		return mmdbtype.Uint16(number), err
	},
	"uint32": func(text string) (mmdbtype.DataType, error) {
		number, err := strconv.ParseUint(text, 10, 32)
		return mmdbtype.Uint32(number), err
	},
	"uint64": func(text string) (mmdbtype.DataType, error) {
		number, err := strconv.ParseUint(text, 10, 64)
		return mmdbtype.Uint64(number), err
	},
	"uint128": func(text string) (mmdbtype.DataType, error) {
		number, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, fmt.Errorf("%s is no integer", text)
		}
		return (*mmdbtype.Uint128)(number), nil
	},
	"int32": func(text string) (mmdbtype.DataType, error) {
		number, err := strconv.ParseInt(text, 10, 32)
		return mmdbtype.Int32(number), err
	},
	"float32": func(text string) (mmdbtype.DataType, error) {
		number, err := strconv.ParseFloat(text, 32)
		return mmdbtype.Float32(number), err
	},
	"bytes": func(text string) (mmdbtype.DataType, error) {
		content, err := base64.StdEncoding.DecodeString(text)
		return mmdbtype.Bytes(content), err
	},
}
