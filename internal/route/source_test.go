package route

import (
	"net"
	"testing"
)

type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

// TestSourceOfAConnection: the per-source limit counts an IPv4 address, or the
// network of an IPv6 address, whose owner has all the addresses in it.
func TestSourceOfAConnection(t *testing.T) {
	for _, row := range []struct{ ip, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2::1", "2001:db8:1:2::"},
		{"2001:db8:1:3::1", "2001:db8:1:3::"},
		{"::1", "::1"},
		{"127.0.0.1", "127.0.0.1"},
	} {
		if got := addrOf(from{addr: &net.TCPAddr{IP: net.ParseIP(row.ip), Port: 1}}); got.String() != row.want {
			t.Errorf("%s counts for %s, want %s", row.ip, got, row.want)
		}
	}
}
