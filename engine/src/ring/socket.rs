//! Listening sockets, made at start, before there is a ring.
//! A port is ours alone: the bind fails with EADDRINUSE where another program listens, so that a
//! carbon-cache that was forgotten is noticed. Everything here answers `io::Error`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Binds and listens. SO_REUSEADDR lets a restart take the port while old connections fade away;
/// without SO_REUSEPORT two listeners exclude each other.
pub fn listen_tcp(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    assert!(backlog > 0, "a backlog of {backlog} connections");
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
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

/// Sends every reply at once: without this the last segment of a long one waits for the client's
/// delayed acknowledgement, 40 ms.
pub fn no_delay(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_tcp_nodelay(true)
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
