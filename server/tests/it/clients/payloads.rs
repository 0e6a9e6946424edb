//! What clients of the protobuf receiver send: payloads by hand, in frames. They are
//! `Payload { repeated Metric metrics = 1 }`, `Metric { string metric = 1; repeated Point points = 2 }`,
//! `Point { uint32 timestamp = 1; double value = 2 }`, byte for byte as Python's protobuf has them.

use super::pickles::frame;
use super::{Client, Goodbye, Ports, connect, expect_end, leave};

impl Client {
    /// Good payloads and what is none, in turn; then hostile names and refused values in one.
    pub(super) fn payloads(&mut self, ports: Ports) {
        let (name, mut sent) = (self.metric("payload"), Vec::new());
        let garbage: [&[u8]; 4] = [b"\x0a", b"\x0f", &[0xff; 11], b"\x0a\x02\x12\x07"];
        for (round, garbage) in garbage.iter().enumerate() {
            sent.extend(frame(garbage));
            let time = self.time_before(round);
            let point = metric(name.as_bytes(), &[(time, 2.5)]);
            // An unknown field, before and behind.
            let strange = bytes(9, b"strange");
            sent.extend(frame(&[&strange[..], &point, &strange].concat()));
            self.expected.point(&name, time, 2.5);
        }
        let refused = garbage.len() as u64;
        self.expected.refuse("refused.protobuf", refused);
        let mut payload = Vec::new();
        for name in self.names() {
            payload.extend(metric(&name, &[(self.time, 7.0)]));
        }
        payload.extend(metric(b"no\xffutf8", &[(1, 1.0), (2, 1.0)]));
        self.expected.refuse("refused.utf8", 2);
        payload.extend(metric(name.as_bytes(), &[(7, f64::NAN)]));
        self.expected.refuse("refused.nan", 1);
        payload.extend(metric(b"", &[(7, 1.0)]));
        self.expected.refuse("refused.name", 1);
        sent.extend(frame(&payload));
        let mut socket = connect(ports.protobuf);
        self.send(&mut socket, &sent, 60);
        leave(socket, Goodbye::HalfClose);
    }

    /// A good payload in its frame.
    fn good_payload(&mut self) -> Vec<u8> {
        let name = self.metric("whole");
        self.expected.point(&name, self.time, 4.0);
        frame(&metric(name.as_bytes(), &[(self.time, 4.0)]))
    }

    pub(super) fn cut_payloads(&mut self, ports: Ports) {
        let mut sent = self.good_payload();
        let other = frame(&metric(b"never", &[(self.time, 1.0)]));
        sent.extend(&other[..=self.draw.below(other.len() - 1)]);
        self.expected.refuse("refused.unfinished", 1);
        let mut socket = connect(ports.protobuf);
        self.send(&mut socket, &sent, 20);
        leave(socket, Goodbye::Close);
    }

    pub(super) fn huge_payloads(&mut self, ports: Ports) {
        // A mebibyte and one byte.
        let sent = [&self.good_payload()[..], &[0, 0x10, 0, 1]].concat();
        self.expected.refuse("refused.frameLength", 1);
        let mut socket = connect(ports.protobuf);
        self.send(&mut socket, &sent, 1000);
        expect_end(socket);
    }
}

/// One metric of a payload.
pub(crate) fn metric(name: &[u8], points: &[(u32, f64)]) -> Vec<u8> {
    let mut metric = bytes(1, name);
    for (timestamp, value) in points {
        let mut point = vec![0x08];
        point.extend(varint(u64::from(*timestamp)));
        point.push(0x11);
        point.extend(value.to_bits().to_be_bytes().iter().rev());
        metric.extend(bytes(2, &point));
    }
    bytes(1, &metric)
}

/// A field of bytes: its key, their length, and they.
pub(crate) fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let length = varint(content.len() as u64);
    [&[field << 3 | 2][..], &length, content].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = number.to_be_bytes()[7] & 0x7f;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}
