//! What clients ask the cache query that is no question, hostile, or cut off.

use std::io::Read;
use std::net::Shutdown;

use super::pickles::frame;
use super::{Client, Ports, connect, expect_end};

impl Client {
    pub(super) fn broken_queries(&mut self, ports: Ports) {
        let code = format!("cos\nsystem\n(S'touch {}'\ntR.", self.loot);
        let broken = [
            vec![0xff; 4],
            frame(code.as_bytes()),
            frame(b"\x80\x02]."),
            frame(b"\x80\x02}."),
        ];
        for bytes in &broken {
            let mut socket = connect(ports.query);
            self.send(&mut socket, bytes, 3);
            expect_end(socket);
        }
        self.expected.refuse("refused.query", broken.len() as u64);
    }

    pub(super) fn cut_queries(&mut self, ports: Ports) {
        let mut request = Vec::new();
        for name in ["../../../etc/passwd", "a\0b", "/abs", "_tagged.x", ""] {
            benzene_server::wire::client::encode_query(name, &mut request).unwrap();
        }
        let replies = 5;
        request.extend([0, 0, 1]);
        self.expected.refuse("refused.unfinished", 1);
        let mut socket = connect(ports.query);
        self.send(&mut socket, &request, 1);
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let empty = b"\x80\x02}X\x0a\x00\x00\x00datapoints]s.";
        assert_eq!(answer, frame(empty).repeat(replies));
    }
}
