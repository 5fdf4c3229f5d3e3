package mail

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// snsSigner is a certificate that lies at SNS, and the one above it, which no machine need know.
type snsSigner struct {
	cert  *x509.Certificate
	above *x509.CertPool
}

// snsNames are the names that the certificates of SNS in a region have. Source: SnsHostProvider of the AWS SDK for Java,
// and the certificates themselves, which in younger regions have the names of their region only.
func snsNames(region string) []string {
	return []string{"sns.amazonaws.com", "sns." + region + ".amazonaws.com", "sns-signing." + region + ".amazonaws.com", "sns-us-gov-west-1.amazonaws.com"}
}

// amazonAuthority is where Amazon publishes the certificates of its authorities: over http, as everybody does, for who
// has signed them is what counts.
var amazonAuthority = regexp.MustCompile(`^http://crt\.[a-z0-9]{1,20}\.amazontrust\.com/[a-z0-9]{1,20}\.(?:cer|crt)$`)

// vouched is the key of a certificate that was SNS's when a message was published. A certificate lies at the host of
// SNS, which TLS vouches for, and yet it must be one that Amazon's authority has given to SNS: whoever came to write to
// that host, or to answer in its place, could not sign for it. What was published in a certificate's last hour may come
// after its end.
func (s *SESEvents) vouched(c *snsSigner, at time.Time) (*rsa.PublicKey, error) {
	key, ok := c.cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.Size() < 256 || c.cert.IsCA || !slices.Equal(c.cert.Issuer.Organization, []string{"Amazon"}) {
		return nil, ErrUnsigned
	}
	// No name with a star: what else lies under Amazon's names is not SNS.
	if !slices.ContainsFunc(c.cert.DNSNames, func(name string) bool { return slices.Contains(s.names, name) }) {
		return nil, ErrUnsigned
	}
	if _, err := c.cert.Verify(x509.VerifyOptions{Roots: s.Roots, Intermediates: c.above, CurrentTime: at}); err != nil {
		return nil, fmt.Errorf("%w: %w: %w", ErrUnsigned, ErrVouching, err)
	}
	return key, nil
}

// signer is the certificate at an address of SNS, remembered.
func (s *SESEvents) signer(ctx context.Context, address string) (*snsSigner, error) {
	if c, ok := s.certs.Load(address); ok {
		return c.(*snsSigner), nil
	}
	if !s.mu.TryLock() { // somebody fetches: SNS asks again, and nobody here waits
		return nil, ErrNotNow
	}
	defer s.mu.Unlock()
	text, err := s.fetch(ctx, address)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrUnsigned
	}
	c := &snsSigner{above: x509.NewCertPool()}
	if c.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, ErrUnsigned
	}
	if err := s.climb(ctx, c); err != nil {
		return nil, err
	}
	if s.kept = append(s.kept, address); len(s.kept) > snsCerts {
		s.certs.Delete(s.kept[0])
		s.kept = s.kept[1:]
	}
	s.certs.Store(address, c)
	return c, nil
}

// climb gets the certificate above one: SNS publishes its certificate alone, and a machine knows the roots only. Where
// to get it stands in the certificate. Should somebody on the way give us another one, it is not remembered.
func (s *SESEvents) climb(ctx context.Context, c *snsSigner) error {
	i := slices.IndexFunc(c.cert.IssuingCertificateURL, amazonAuthority.MatchString)
	if i < 0 {
		return nil
	}
	der, err := s.fetch(ctx, c.cert.IssuingCertificateURL[i])
	if err != nil {
		return err
	}
	above, err := x509.ParseCertificate(der)
	if err == nil {
		err = c.cert.CheckSignatureFrom(above)
	}
	if err != nil {
		return fmt.Errorf("%w: what lies at %s has not signed the certificate of SNS: %w", ErrNotNow, c.cert.IssuingCertificateURL[i], err)
	}
	c.above.AddCert(above)
	return nil
}
