//! Which instance a daemon is: it has its journal in that one's directory and takes over what the others'
//! hold, as a process for several instances does whose first one is another from time to time. Here is what
//! the daemon's control thread does for that: the notes of who takes a directory over, and since when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use benzene_engine::journal::survey::{Looked, Survey};
use benzene_engine::shard::Adopted;

use crate::content::JOURNAL_DIR;
use crate::world::World;

/// Directories of journals.
const INSTANCES: usize = 3;
/// The note that a directory is being taken over.
const NOTE: &str = "taken";

/// Where an instance's journal is.
fn directory(instance: usize) -> PathBuf {
    Path::new(JOURNAL_DIR).join(instance.to_string())
}

/// The journals of all instances.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    /// Whose the daemon's own journal is.
    own: usize,
    /// When a daemon last ended, or began, that wrote to a directory.
    written_us: [u64; INSTANCES],
}

/// What a start finds.
#[derive(Debug)]
pub(crate) struct Journals {
    /// Where its own journal is.
    pub(crate) directory: PathBuf,
    /// What is in it.
    pub(crate) survey: Survey,
    /// The others, in the order in which they come back.
    pub(crate) adopted: Vec<Adopted>,
}

impl Journals {
    /// All files.
    pub(crate) fn files(&self) -> usize {
        self.surveys().map(|survey| survey.files.len()).sum()
    }

    /// Bytes of them.
    pub(crate) fn bytes(&self) -> u64 {
        let files = self.surveys().flat_map(|survey| &survey.files);
        files.map(|file| file.bytes).sum()
    }

    fn surveys(&self) -> impl Iterator<Item = &Survey> {
        let adopted = self.adopted.iter().map(|it| &it.survey);
        std::iter::once(&self.survey).chain(adopted)
    }
}

impl World {
    /// What the next start finds in the directories of all journals; what it takes over is noted there.
    pub(crate) fn journals(&mut self) -> Journals {
        self.instances.written_us[self.instances.own] = self.now_us;
        self.choose_instance();
        let own = self.instances.own;
        let survey = self.survey(own);
        let epoch = survey.epoch_next();
        let written_us = self.instances.written_us;
        let mut found = BTreeMap::new();
        for other in (0..INSTANCES).filter(|other| *other != own) {
            let survey = self.survey(other);
            let note = directory(other).join(NOTE);
            if survey.files.is_empty() {
                self.disk.remove(&note);
                self.disk.sync_names(Path::new(JOURNAL_DIR));
                continue;
            }
            let begun = self.noted(other).map_or(Vec::new(), |(_, begun)| begun);
            let epochs: Vec<u32> = begun.iter().copied().chain([epoch]).collect();
            self.note(&note, own, &epochs);
            let adopted = Adopted {
                survey,
                begun,
                note,
                is_later: written_us[other] > written_us[own],
            };
            found.insert((written_us[other], other), adopted);
        }
        let adopted: Vec<Adopted> = found.into_values().collect();
        Journals {
            directory: directory(own),
            survey,
            adopted,
        }
    }

    /// Another instance's journal is the own one, now and then. Not while a directory is half taken over:
    /// who goes back then is told that its points come from there too.
    fn choose_instance(&mut self) {
        if !self.settings.has_instances {
            return;
        }
        let takers = (0..INSTANCES).filter_map(|other| self.noted(other));
        let takers: Vec<usize> = takers.map(|(taker, _)| taker).collect();
        self.instances.own = match takers.first() {
            Some(taker) => *taker,
            None => self.prng.index(INSTANCES),
        };
        assert!(
            takers.iter().all(|taker| *taker == self.instances.own),
            "several take over: {takers:?}"
        );
    }

    /// Who takes a directory over, and in which epochs that began.
    fn noted(&self, instance: usize) -> Option<(usize, Vec<u32>)> {
        let note = self.disk.file(&directory(instance).join(NOTE))?;
        let mut numbers = std::str::from_utf8(note).unwrap_or_default().lines();
        let taker = numbers.next()?.parse().ok()?;
        Some((
            taker,
            numbers.filter_map(|epoch| epoch.parse().ok()).collect(),
        ))
    }

    fn note(&mut self, note: &Path, taker: usize, epochs: &[u32]) {
        let epochs = epochs.iter().map(u32::to_string);
        let lines: Vec<String> = [taker.to_string()].into_iter().chain(epochs).collect();
        self.disk.plant(note, lines.join("\n").into_bytes());
        self.disk.sync_names(Path::new(JOURNAL_DIR));
    }

    /// What an instance's directory holds.
    fn survey(&self, instance: usize) -> Survey {
        match Survey::new(self.look(instance)) {
            Ok(survey) => survey,
            Err(error) => panic!("{error}"),
        }
    }

    /// What was set aside in the directories, each by itself.
    pub(crate) fn aside_of_all(&self) -> Vec<Survey> {
        let all = (0..INSTANCES).map(|instance| match Survey::of_aside(self.look(instance)) {
            Ok(survey) => survey,
            Err(error) => panic!("{error}"),
        });
        all.collect()
    }

    /// What the directories hold besides.
    pub(crate) fn surveys(&self) -> Vec<Survey> {
        (0..INSTANCES)
            .map(|instance| self.survey(instance))
            .collect()
    }

    fn look(&self, instance: usize) -> Vec<Looked> {
        let directory = directory(instance);
        let files = self.disk.files(&directory);
        let files = files.filter(|(path, _)| !path.ends_with(NOTE));
        files
            .map(|(path, bytes)| Looked::of(path.to_owned(), bytes))
            .collect()
    }
}
