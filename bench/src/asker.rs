//! A connection to a cache query port: asks for a metric's points, one question at a time or many
//! ahead of their answers.
//! The messages are benzene_server's own client side, which reads what Python carbon, go-carbon
//! and Benzene answer. An answer that cannot be read ends the connection's use.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benzene_server::wire::client::{self, Reply};
use benzene_server::wire::pickle::Machine;

pub(crate) use benzene_server::wire::client::Datapoint;

/// Longest answer that is read: far more than the points of any metric that is sent here.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Asker {
    socket: TcpStream,
    machine: Machine,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Asker {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)
            .with_context(|| format!("cannot connect to the cache query on {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            machine: Machine::default(),
            request: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// The cached points of a metric.
    pub(crate) fn points(&mut self, metric: &str) -> Result<Vec<Datapoint>> {
        self.ask(&[metric])?;
        self.answer()
    }

    /// Sends questions without waiting for their answers; as many calls of `answer` must follow.
    pub(crate) fn ask(&mut self, metrics: &[&str]) -> Result<()> {
        self.request.clear();
        for metric in metrics {
            client::encode_query(metric, &mut self.request)?;
        }
        self.socket
            .write_all(&self.request)
            .context("cannot ask the cache")
    }

    /// The answer to the oldest open question.
    pub(crate) fn answer(&mut self) -> Result<Vec<Datapoint>> {
        let mut length = [0; 4];
        self.socket
            .read_exact(&mut length)
            .context("the cache does not answer")?;
        let bytes = usize::try_from(u32::from_be_bytes(length))?;
        ensure!(
            bytes <= ANSWER_BYTES_MAX,
            "an answer of {bytes} bytes, at most {ANSWER_BYTES_MAX} are read"
        );
        self.answer.resize(bytes, 0);
        self.socket
            .read_exact(&mut self.answer)
            .context("the cache's answer ends early")?;
        match client::decode_reply(&self.answer, &mut self.machine)? {
            Reply::Datapoints(points) => Ok(points),
            other
            @ (Reply::Bulk(_) | Reply::Value(_) | Reply::Changed { .. } | Reply::Error(_)) => {
                bail!("the cache answers {other:?}")
            }
        }
    }
}
