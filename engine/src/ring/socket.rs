//! Listening sockets, made at start, before there is a ring.
//! A port is ours alone: the bind fails with EADDRINUSE where another program listens, so that a
//! carbon-cache that was forgotten is noticed. Everything here answers `io::Error`.
#![expect(
    unsafe_code,
    reason = "SO_MEMINFO has no typed wrapper and is read by address"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Binds and listens. SO_REUSEADDR lets a restart take the port while old connections fade away;
/// without SO_REUSEPORT two listeners exclude each other.
pub fn listen_tcp(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    assert!(backlog > 0, "a backlog of {backlog} connections");
    let socket = bind_tcp(address)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Whether `listen_tcp` could have the port: bound and given back, and nobody could connect to it.
pub fn try_tcp(address: SocketAddr) -> io::Result<()> {
    bind_tcp(address).map(drop)
}

/// Whether `bind_udp` could have the port; what comes in that moment is lost.
pub fn try_udp(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.bind(&address.into())
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a datagram socket and asks for a receive buffer of so many bytes; the kernel may give
/// less (net.core.rmem_max), see `receive_buffer_bytes`. No SO_REUSEADDR: for datagrams it would
/// let two programs share the port.
pub fn bind_udp(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<OwnedFd> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The forced size needs CAP_NET_ADMIN; without it the ordinary one is what we get.
    let forced =
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, receive_buffer_bytes);
    if forced.is_err() {
        socket.set_recv_buffer_size(receive_buffer_bytes)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The receive buffer that the kernel gave, in bytes: twice what was asked for where it could,
/// because it counts its own bookkeeping (socket(7)).
pub fn receive_buffer_bytes(socket: impl AsFd) -> io::Result<usize> {
    SockRef::from(&socket.as_fd()).recv_buffer_size()
}

/// Datagrams that the kernel has dropped since the socket was made, because its receive buffer was
/// full or a checksum was wrong. Counts modulo 2^32.
pub fn kernel_drops(socket: impl AsFd) -> io::Result<u32> {
    const DROPS: usize = 8;
    const _: () = assert!(libc::SK_MEMINFO_DROPS == 8);
    // Linux 6.18 has nine; a later kernel with more cuts its answer to what is asked for.
    let mut words = [0_u32; DROPS + 1];
    let mut bytes = libc::socklen_t::try_from(size_of_val(&words)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `bytes` bytes into `words`, which is as long, and the
    // length into `bytes`; both outlive the call, and the descriptor is open while it is borrowed.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    if bytes as usize != size_of_val(&words) {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    Ok(words[DROPS])
}

/// Sends every reply at once: without this the last segment of a long one waits for the client's
/// delayed acknowledgement, 40 ms.
pub fn no_delay(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_tcp_nodelay(true)
}

/// How the kernel finds out that the other side of a silent connection has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe; whole seconds.
    pub idle: Duration,
    /// Time between probes; whole seconds.
    pub interval: Duration,
    /// Probes without an answer before the connection is given up.
    pub probes: u32,
}

/// Has the connections of a TCP listener probed when they are silent: what a listener is told, the
/// sockets that it accepts from then on inherit (tcp(7)), so that no connection costs a call.
pub fn keep_alive(listener: impl AsFd, how: KeepAlive) -> io::Result<()> {
    let params = TcpKeepalive::new()
        .with_time(how.idle)
        .with_interval(how.interval)
        .with_retries(how.probes);
    SockRef::from(&listener.as_fd()).set_tcp_keepalive(&params)
}

/// The address a socket is bound to, with the port that the kernel chose for port 0.
pub fn local_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    inet(&SockRef::from(&socket.as_fd()).local_addr()?)
}

/// The address of the other side of a connection.
pub fn peer_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    inet(&SockRef::from(&socket.as_fd()).peer_addr()?)
}

fn inet(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn a_port_has_one_listener() {
        let first = listen_tcp(any_port(), 16).unwrap();
        let taken = listen_tcp(local_addr(&first).unwrap(), 16).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let first = bind_udp(any_port(), 65_536).unwrap();
        let taken = bind_udp(local_addr(&first).unwrap(), 65_536).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_datagram_socket_has_the_buffer_asked_for() {
        let socket = bind_udp(any_port(), 100_000).unwrap();
        assert!(receive_buffer_bytes(&socket).unwrap() >= 100_000);
    }

    #[test]
    fn what_the_kernel_drops_is_told() {
        let socket = bind_udp(any_port(), 4096).unwrap();
        assert_eq!(kernel_drops(&socket).unwrap(), 0);
        let sender = std::net::UdpSocket::bind(any_port()).unwrap();
        let (sent, target) = (1000, local_addr(&socket).unwrap());
        for _ in 0..sent {
            sender.send_to(&[0; 1000], target).unwrap();
        }
        let mut kept = 0;
        let receiver = std::net::UdpSocket::from(socket.try_clone().unwrap());
        receiver.set_nonblocking(true).unwrap();
        while receiver.recv(&mut [0; 1000]).is_ok() {
            kept += 1;
        }
        assert!(kept > 0 && kept < sent, "{kept} of {sent} fit");
        assert_eq!(kernel_drops(&socket).unwrap(), sent - kept);
    }

    #[test]
    fn accepted_connections_are_probed_as_their_listener_was_told() {
        let (told, untold) = (
            listen_tcp(any_port(), 16).unwrap(),
            listen_tcp(any_port(), 16).unwrap(),
        );
        let how = KeepAlive {
            idle: Duration::from_secs(11),
            interval: Duration::from_secs(7),
            probes: 3,
        };
        keep_alive(&told, how).unwrap();
        for (listener, probed) in [(told, true), (untold, false)] {
            let address = local_addr(&listener).unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            let (accepted, _) = Socket::from(listener).accept().unwrap();
            assert_eq!(accepted.keepalive().unwrap(), probed);
            let found = KeepAlive {
                idle: accepted.tcp_keepalive_time().unwrap(),
                interval: accepted.tcp_keepalive_interval().unwrap(),
                probes: accepted.tcp_keepalive_retries().unwrap(),
            };
            assert_eq!(found == how, probed, "{found:?}");
        }
    }

    #[test]
    fn a_connection_knows_both_ends() {
        let listener = listen_tcp(any_port(), 16).unwrap();
        let address = local_addr(&listener).unwrap();
        let connection = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(peer_addr(&connection).unwrap(), address);
        assert_eq!(
            local_addr(&connection).unwrap(),
            connection.local_addr().unwrap()
        );
    }
}
