//! Listening sockets, made at start, before there is a ring.
//! A port is ours alone: the bind fails with EADDRINUSE where another program listens, so that a
//! carbon-cache that was forgotten is noticed. The file of a Unix socket outlives its program: one that
//! nobody listens on is removed first, any other file is left alone. Everything here answers
//! `io::Error`.
#![expect(
    unsafe_code,
    reason = "SO_MEMINFO has no typed wrapper and is read by address"
)]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub struct Inet {
    /// The address.
    pub address: SocketAddr,
    /// Of an IPv6 address: the same port of IPv4 is left to another socket.
    pub is_only_v6: bool,
}

impl From<SocketAddr> for Inet {
    fn from(address: SocketAddr) -> Inet {
        let is_only_v6 = false;
        Inet {
            address,
            is_only_v6,
        }
    }
}

/// Binds and listens. SO_REUSEADDR lets a restart take the port while old connections fade away;
/// without SO_REUSEPORT two listeners exclude each other.
pub fn listen_tcp(at: impl Into<Inet>, backlog: i32) -> io::Result<OwnedFd> {
    assert!(backlog > 0, "a backlog of {backlog} connections");
    let socket = bind_tcp(at.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Whether `listen_tcp` could have the port: bound and given back, and nobody could connect to it.
pub fn try_tcp(at: impl Into<Inet>) -> io::Result<()> {
    bind_tcp(at.into()).map(drop)
}

/// Whether `bind_udp` could have the port; what comes in that moment is lost.
pub fn try_udp(at: impl Into<Inet>) -> io::Result<()> {
    let at = at.into();
    inet_socket(at, Type::DGRAM, Protocol::UDP)?.bind(&at.address.into())
}

fn bind_tcp(at: Inet) -> io::Result<Socket> {
    let socket = inet_socket(at, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.address.into())?;
    Ok(socket)
}

fn inet_socket(at: Inet, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at.address), kind, Some(protocol))?;
    if at.is_only_v6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Binds a Unix socket and listens; its file gets this mode before anybody can connect. The directory
/// has to be there.
pub fn listen_unix(path: &Path, mode: u32, backlog: i32) -> io::Result<OwnedFd> {
    assert!(backlog > 0, "a backlog of {backlog} connections");
    try_unix(path)?;
    if is_socket(path) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Whether `listen_unix` could have the path: nothing is there, or a socket that nobody listens on.
/// Where somebody does, that is `AddrInUse`; where another file is, `AlreadyExists`.
pub fn try_unix(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            fs::metadata(directory).map(drop)
        }
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
        },
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Binds a datagram socket and asks for a receive buffer of so many bytes; the kernel may give
/// less (net.core.rmem_max), see `receive_buffer_bytes`. No SO_REUSEADDR: for datagrams it would
/// let two programs share the port.
pub fn bind_udp(at: impl Into<Inet>, receive_buffer_bytes: usize) -> io::Result<OwnedFd> {
    let at = at.into();
    let socket = inet_socket(at, Type::DGRAM, Protocol::UDP)?;
    // The forced size needs CAP_NET_ADMIN; without it the ordinary one is what we get.
    let forced =
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, receive_buffer_bytes);
    if forced.is_err() {
        socket.set_recv_buffer_size(receive_buffer_bytes)?;
    }
    socket.bind(&at.address.into())?;
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

/// Has a connection end with a reset when it is closed: the other side's next write fails then.
/// After an orderly end its first write would be taken, and nobody would ever read it.
pub fn reset_when_closed(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket.as_fd()).set_linger(Some(Duration::ZERO))
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

fn inet(address: &SockAddr) -> io::Result<SocketAddr> {
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
    fn an_ipv6_port_can_leave_that_of_ipv4_to_another() {
        let four = listen_tcp(SocketAddr::from(([0; 4], 0)), 16).unwrap();
        let port = local_addr(&four).unwrap().port();
        let both = SocketAddr::from(([0_u16; 8], port));
        let taken = listen_tcp(both, 16).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let six = Inet {
            address: both,
            is_only_v6: true,
        };
        listen_tcp(six, 16).unwrap();
    }

    #[test]
    fn a_unix_socket_that_nobody_listens_on_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("line");
        let first = listen_unix(&path, 0o640, 16).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let taken = listen_unix(&path, 0o640, 16).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(is_socket(&path), "it outlives its program");
        listen_unix(&path, 0o640, 16).unwrap();
        UnixStream::connect(&path).unwrap_err();
        let file = directory.path().join("file");
        fs::write(&file, "kept").unwrap();
        let error = listen_unix(&file, 0o640, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        let missing = directory.path().join("missing/line");
        let error = listen_unix(&missing, 0o640, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
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
