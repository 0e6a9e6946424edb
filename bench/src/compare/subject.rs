//! A disk that is measured: found below a directory of the user's, or made; and its files, in a
//! directory of our own that goes away in the end. A model disk goes away too, also after an error.
//! Never opens a file that it has not made, and takes a tenth of the free room at most.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benzene_engine::device::{Class, Disk, Profile};
use benzene_engine::ring::mount;

use super::args::{CompareArgs, Extent, Wanted};
use super::figures::{HeadPerUpdate, Place};
use crate::device::Device;
use crate::disk::{self, ModelDisk, ModelName, Params, Wish};
use crate::writepath::site::{Layout, Site};

/// Size of a model disk; only what is written takes room.
const MODEL_BYTES: u64 = 16 << 30;
/// Over how much of the stroke its bytes are spread: as `benzene-bench disk` has it.
const MODEL_STROKE_PERCENT: u8 = 20;
/// Part of the free room that files may take: one in so many.
const ROOM_SHARE: u64 = 10;
/// A spinning disk is measured with so many files at most: more are not visited in the time.
const HDD_FILES_MAX: u32 = 10_000;
/// Fewer tell nothing.
const FILES_MIN: u32 = 200;

/// The disk.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) class: Class,
    pub(super) profile: &'static Profile,
    /// Time between two syncs while a daemon is measured.
    pub(super) sync_period: Duration,
    pub(super) device: Device,
    // Before the disk that they lie on.
    pub(super) files: Site,
    pub(super) place: Place,
    model: Option<ModelDisk>,
}

impl Subject {
    /// Makes the disk where it is to be made, and its files.
    pub(super) fn prepare(
        args: &CompareArgs,
        (class, wanted): &(Class, Wanted),
        extent: Extent,
    ) -> Result<Self> {
        let model = match wanted {
            Wanted::There(_) => None,
            Wanted::Model(place) => Some(make(args, *class, place)?),
        };
        let directory = match (wanted, &model) {
            (Wanted::There(directory), _) => directory.clone(),
            (Wanted::Model(_), Some(model)) => model.mount().to_owned(),
            (Wanted::Model(_), None) => unreachable!("it was made above"),
        };
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let layout = Layout::new(&args.archives)?;
        let file_bytes = layout.header.file_bytes();
        let files = fitting(*class, extent, file_bytes, &directory)?;
        eprintln!(
            "{}: makes {files} files of {file_bytes} bytes",
            directory.display()
        );
        let site = Site::make(&directory, layout, files, true)?;
        let device = Device::of(site.root())?;
        device.flush()?;
        // Now there is something to read, where the kernel's word is not enough.
        let found = Disk::of(site.root())?;
        let profile = Profile::of(*class);
        let place = Place {
            class: class.name().to_owned(),
            class_found: found.class.name().to_owned(),
            class_reason: found.reason.to_string(),
            directory: directory.display().to_string(),
            device: device.name().to_owned(),
            filesystem: mount::of(&directory)?.kind,
            model: model
                .as_ref()
                .map(|model| model.state().params.model.name().to_owned()),
            files,
            file_bytes,
            hold_s: profile.max_point_age_s,
            updates_in_flight: profile.updates_in_flight,
            kernel_workers: profile.kernel_workers,
        };
        Ok(Self {
            class: *class,
            profile,
            sync_period: (extent.sync)(*class),
            device,
            files: site,
            place,
            model,
        })
    }

    /// What a model disk has counted; None where it is none.
    pub(super) fn head(&self) -> Result<Option<disk::Counters>> {
        self.model.as_ref().map(ModelDisk::counters).transpose()
    }

    /// What it has counted since, for each of so many updates.
    pub(super) fn head_since(
        &self,
        before: Option<disk::Counters>,
        updates: f64,
    ) -> Result<Option<HeadPerUpdate>> {
        Ok(match (self.head()?, before) {
            (Some(after), Some(before)) => HeadPerUpdate::new(&(after - before), updates),
            (_, None) | (None, _) => None,
        })
    }
}

/// A model disk of a class.
fn make(args: &CompareArgs, class: Class, place: &Path) -> Result<ModelDisk> {
    let model = match class {
        Class::Hdd => ModelName::Hdd7200,
        Class::Ssd | Class::Unknown => ModelName::SsdSata,
    };
    eprintln!("{}: makes a model disk, {}", place.display(), model.name());
    ModelDisk::up(&Wish {
        params: Params {
            model,
            bytes: MODEL_BYTES,
            stroke_percent: MODEL_STROKE_PERCENT,
            write_cache: None,
        },
        format: args.fs,
        place: disk::Place::new(place)?,
        mount: None,
    })
}

/// How many files are made.
fn fitting(class: Class, extent: Extent, file_bytes: u64, directory: &Path) -> Result<u32> {
    let free = mount::free(directory)
        .with_context(|| format!("cannot look at {}", directory.display()))?
        .bytes;
    let room = u32::try_from(free / ROOM_SHARE / file_bytes).unwrap_or(u32::MAX);
    ensure!(
        room >= FILES_MIN,
        "{}: {} MiB are free, and {FILES_MIN} files of {file_bytes} bytes would take more than a tenth",
        directory.display(),
        free >> 20
    );
    let most = match class {
        Class::Hdd => HDD_FILES_MAX,
        Class::Ssd | Class::Unknown => u32::MAX,
    };
    Ok(extent.files.min(most).min(room))
}
