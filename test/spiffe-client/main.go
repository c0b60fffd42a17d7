// Asks the SPIFFE Workload API with the reference client, so that the agent of the tests is proved by somebody else, and
// speaks to Postern as a workload would.
//
//	spiffe-client x509 SOCKET                  prints the ID and serial number of the SVID, and its bundles' trust domains
//	spiffe-client jwt SOCKET AUDIENCE TOKEN    verifies a JWT-SVID with the agent's bundles and prints its ID
//	spiffe-client get SOCKET SERVER_ID URL     asks over mutual TLS and prints the status
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: spiffe-client x509|jwt|get SOCKET ..."))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	address := workloadapi.WithAddr(os.Args[2])
	args := os.Args[3:]
	switch {
	case os.Args[1] == "x509" && len(args) == 0:
		fail(x509(ctx, address))
	case os.Args[1] == "jwt" && len(args) == 2:
		fail(jwt(ctx, address, args[0], args[1]))
	case os.Args[1] == "get" && len(args) == 2:
		fail(get(ctx, address, args[0], args[1]))
	default:
		fail(fmt.Errorf("unknown command or wrong number of arguments"))
	}
}

func x509(ctx context.Context, address workloadapi.ClientOption) error {
	found, err := workloadapi.FetchX509Context(ctx, address)
	if err != nil {
		return err
	}
	svid := found.DefaultSVID()
	names := []string{}
	for _, bundle := range found.Bundles.Bundles() {
		names = append(names, bundle.TrustDomain().Name())
	}
	sort.Strings(names)
	fmt.Println(svid.ID, svid.Certificates[0].SerialNumber, strings.Join(names, ","))
	return nil
}

func jwt(ctx context.Context, address workloadapi.ClientOption, audience, token string) error {
	bundles, err := workloadapi.FetchJWTBundles(ctx, address)
	if err != nil {
		return err
	}
	svid, err := jwtsvid.ParseAndValidate(token, bundles, []string{audience})
	if err != nil {
		return err
	}
	fmt.Println(svid.ID)
	return nil
}

func get(ctx context.Context, address workloadapi.ClientOption, server, url string) error {
	id, err := spiffeid.FromString(server)
	if err != nil {
		return err
	}
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(address))
	if err != nil {
		return err
	}
	defer source.Close()
	transport := &http.Transport{TLSClientConfig: tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(id))}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode)
	return nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
