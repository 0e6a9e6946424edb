//! An update and a create over any kind of open file, and many of them at once on one thread.
//! What is kept of a file is its descriptor and its head. That is more than a daemon may keep for
//! long (other programs rename and resize files under it), and what makes these paths as fast as
//! they can be. The head is kept true by what is written.
//! The stretches that one update needs are read one after the other: neither runtime has a batch.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use benzene_engine::clock;
use benzene_engine::ring::{ByteRange, Piece};
use benzene_engine::whisper::{HEAD_READ_BYTES, Header, Image, Plan, plan};

use crate::Latencies;
use crate::round::{Round, Target};

/// The stretch of a file that holds its header.
const HEAD: ByteRange = ByteRange {
    offset: 0,
    len: HEAD_READ_BYTES,
};

/// An open file of one kind.
pub(crate) trait OpenFile: Sized {
    /// Opens a file to be read and written. None: there is none.
    async fn open(path: &Path) -> Result<Option<Self>>;
    /// Makes a file of `file_bytes` allocated bytes, which begins with `head`.
    async fn create(path: &Path, head: Vec<u8>, file_bytes: u64) -> Result<Self>;
    /// Gives it another name.
    async fn rename(&mut self, from: &Path, to: &Path) -> Result<()>;
    /// Reads a stretch; fewer bytes where the file ends.
    async fn read(&self, range: ByteRange) -> Result<Vec<u8>>;
    /// Writes all of a piece.
    async fn write(&self, piece: Piece) -> Result<()>;
    /// Closes it.
    async fn close(self) -> Result<()>;
}

/// An open file and what is known of it.
#[derive(Debug)]
pub(crate) struct Kept<F> {
    pub(crate) file: F,
    header: Header,
    head: Vec<u8>,
}

impl<F: OpenFile> Kept<F> {
    /// Opens a file and reads its head. None: there is none.
    pub(crate) async fn open(path: &Path) -> Result<Option<Self>> {
        let Some(file) = F::open(path).await? else {
            return Ok(None);
        };
        let head = file.read(HEAD).await?;
        let header = Header::parse(&head)?;
        Ok(Some(Self { file, header, head }))
    }

    /// Makes a file under another name first, so that it appears whole.
    pub(crate) async fn create(path: &Path, header: &Header) -> Result<Self> {
        let hidden = path.with_extension("new");
        let mut head = header.encode();
        let mut file = F::create(&hidden, head.clone(), header.file_bytes()).await?;
        file.rename(&hidden, path).await?;
        head.resize(HEAD_READ_BYTES as usize, 0);
        Ok(Self {
            file,
            header: header.clone(),
            head,
        })
    }

    /// Writes a round's points.
    pub(crate) async fn update(&mut self, round: &Round, target: &Target) -> Result<()> {
        let points = round.points_of(target);
        let mut image = Image::new();
        image.add(HEAD, self.head.clone());
        loop {
            match plan(&self.header, &points, round.now_s, &image)? {
                Plan::Need(ranges) => {
                    for range in ranges {
                        image.add(range, self.file.read(range).await?);
                    }
                }
                Plan::Write { pieces, outcome } => {
                    ensure!(outcome.written == u64::from(round.points), "{outcome:?}");
                    for piece in pieces {
                        self.note(&piece);
                        self.file.write(piece).await?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Carries what is written over to the kept head: the first slots lie in it.
    fn note(&mut self, piece: &Piece) {
        let Ok(from) = usize::try_from(piece.offset) else {
            return;
        };
        let known = self.head.get_mut(from..).unwrap_or_default();
        for (byte, written) in known.iter_mut().zip(&piece.bytes) {
            *byte = *written;
        }
    }
}

/// Makes the file if it is not there, as a daemon does with a new metric.
pub(crate) async fn make<F: OpenFile>(target: &Target, header: &Header) -> Result<Kept<F>> {
    match Kept::<F>::open(&target.path).await? {
        Some(_) => bail!("{} is there already", target.path.display()),
        None => Kept::create(&target.path, header).await,
    }
}

/// The kept files of a list, by place.
#[derive(Debug)]
pub(crate) struct Keeper<F>(Rc<RefCell<Vec<Option<Kept<F>>>>>);

impl<F: OpenFile> Keeper<F> {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Vec::new())))
    }

    /// What one round is for those who carry it out together.
    pub(crate) fn begin(&self, round: &Arc<Round>, latencies: &Latencies) -> Rc<Pass<F>> {
        self.0
            .borrow_mut()
            .resize_with(round.targets.len(), || None);
        Rc::new(Pass {
            round: Arc::clone(round),
            kept: Rc::clone(&self.0),
            next: Cell::new(0),
            latencies: RefCell::new(latencies.clone()),
        })
    }

    /// Closes all.
    pub(crate) async fn close(&self) -> Result<()> {
        let all = std::mem::take(&mut *self.0.borrow_mut());
        for kept in all.into_iter().flatten() {
            kept.file.close().await?;
        }
        Ok(())
    }
}

/// A round while it is carried out: each of its workers takes the next file until there is none.
#[derive(Debug)]
pub(crate) struct Pass<F> {
    round: Arc<Round>,
    kept: Rc<RefCell<Vec<Option<Kept<F>>>>>,
    next: Cell<usize>,
    latencies: RefCell<Latencies>,
}

impl<F: OpenFile> Pass<F> {
    /// Writes files until all have been begun.
    pub(crate) async fn work(self: Rc<Self>) -> Result<()> {
        loop {
            let at = self.next.get();
            let Some(target) = self.round.targets.get(at) else {
                return Ok(());
            };
            self.next.set(at + 1);
            let begun = clock::now().instant;
            let kept = self.kept.borrow_mut().get_mut(at).and_then(Option::take);
            let mut kept = match kept {
                Some(kept) => kept,
                None if self.round.creates => make(target, &self.round.header).await?,
                None => Kept::open(&target.path)
                    .await?
                    .with_context(|| format!("{} is gone", target.path.display()))?,
            };
            kept.update(&self.round, target).await?;
            if let Some(place) = self.kept.borrow_mut().get_mut(at) {
                *place = Some(kept);
            }
            let latency = clock::now().instant.saturating_duration_since(begun);
            self.latencies.borrow_mut().record(latency);
        }
    }

    /// The latencies, with those that were there before.
    pub(crate) fn latencies(&self) -> Latencies {
        self.latencies.borrow().clone()
    }
}
