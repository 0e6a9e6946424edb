//! What a create does after each answer that it may get, one by one, against the played kernel.

use rustix::io::Errno;

use super::command::{Command, Machine, Next, PathOf};
use super::create::{Create, Way};
use super::machine_tests::{Mood, Played, create, create_with};
use super::*;

/// Plays a create whose first answers are scripted; the outcome, and the commands that succeeded.
fn scripted(way: Way, moods: Vec<Mood>) -> (Result<FileOutcome, FileError>, Played, Create) {
    let mut machine = create(way, Allocation::Fallocate, 5_000, true);
    let mut kernel = Played::new(Vec::new(), false, moods);
    let answer = kernel.play(&mut machine);
    (answer, kernel, machine)
}

#[test]
fn each_answer_has_its_next_way() {
    use Mood::{Refuses, Willing};
    let refused: Vec<(Way, Vec<Mood>)> = vec![
        // No nameless files: said in any of these ways, or by ENOENT although the directory is.
        (Way::Nameless, vec![Refuses(Errno::OPNOTSUPP)]),
        (Way::Nameless, vec![Refuses(Errno::ISDIR)]),
        (
            Way::Nameless,
            vec![Refuses(Errno::NOENT), Willing, Refuses(Errno::NOENT)],
        ),
        // No /proc: open, fallocate, head and sync go well, the link does not.
        (
            Way::Nameless,
            vec![Willing, Willing, Willing, Willing, Refuses(Errno::NOENT)],
        ),
        // A rename without flags.
        (
            Way::Renamed,
            vec![Willing, Willing, Willing, Willing, Refuses(Errno::INVAL)],
        ),
        // The temporary name is taken.
        (
            Way::Renamed,
            vec![Refuses(Errno::EXIST), Refuses(Errno::EXIST)],
        ),
        // No fallocate.
        (Way::Nameless, vec![Willing, Refuses(Errno::OPNOTSUPP)]),
        // Missing directories, up and down.
        (
            Way::Nameless,
            vec![
                Refuses(Errno::NOENT),
                Refuses(Errno::NOENT),
                Willing,
                Willing,
            ],
        ),
    ];
    for (way, moods) in refused {
        let (answer, kernel, machine) = scripted(way, moods.clone());
        assert_eq!(answer, Ok(FileOutcome::Created), "{moods:?}");
        assert!(
            kernel.published && !kernel.open && !kernel.temporary,
            "{moods:?} {kernel:?}"
        );
        assert_eq!(kernel.bytes.len(), 5_000, "{moods:?}");
        assert!(machine.leftover().is_none(), "{moods:?}");
    }
}

#[test]
fn data_that_cannot_be_written_out_by_itself_is_synced() {
    use Mood::{Refuses, Willing};
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::SPIPE] {
        // Open, size and head go well.
        let moods = vec![Willing, Willing, Willing, Refuses(errno)];
        let mut kernel = Played::new(Vec::new(), false, moods);
        let mut machine = create_with(Way::Nameless, Allocation::Fallocate, 5_000, true, false);
        assert_eq!(kernel.play(&mut machine), Ok(FileOutcome::Created));
        assert!(kernel.published && kernel.written, "{errno}");
    }
    let moods = vec![Willing, Willing, Willing, Refuses(Errno::IO)];
    let mut kernel = Played::new(Vec::new(), false, moods);
    let mut machine = create_with(Way::Nameless, Allocation::Fallocate, 5_000, true, false);
    let error = FileError {
        stage: Stage::Sync,
        errno: Errno::IO.raw_os_error(),
    };
    assert_eq!(kernel.play(&mut machine), Err(error));
    assert!(!kernel.published && !kernel.open);
}

#[test]
fn directories_that_vanish_for_ever_are_an_answer() {
    let moods = vec![Mood::Refuses(Errno::NOENT); 1_000];
    let (answer, ..) = scripted(Way::Renamed, moods);
    let errno = Errno::NOENT.raw_os_error();
    assert_eq!(
        answer,
        Err(FileError {
            stage: Stage::Directory,
            errno
        })
    );
}

#[test]
fn a_temporary_name_is_beside_its_file_and_changes_when_taken() {
    let mut machine = create(Way::Renamed, Allocation::Zeros, 100, true);
    let mut round = Vec::new();
    assert!(matches!(machine.next(&mut round), Next::Together));
    assert_eq!(round, [Command::OpenTemporary]);
    let first = machine.path(PathOf::Temporary).to_owned();
    let own = format!("/data/a/.benzene-{}-", std::process::id());
    assert!(first.to_str().unwrap().starts_with(&own), "{first:?}");
    machine.answered(Command::OpenTemporary, Err(Errno::EXIST.raw_os_error()));
    assert_ne!(machine.path(PathOf::Temporary), first.as_c_str());
}

/// Each lap opens and fills another file, and that is no progress of the name.
#[test]
fn a_name_that_keeps_being_refused_ends_the_create() {
    use Mood::{Refuses, Willing};
    // Open, space, head and sync go well, the link does not, and its close goes well again.
    let (well, refused) = ([Willing; 4], [Refuses(Errno::NOMEM), Willing]);
    let laps = [&well[..], &refused].concat().repeat(1_000);
    let mut kernel = Played::new(Vec::new(), false, laps);
    kernel.cuts_all = false;
    let mut machine = create(Way::Nameless, Allocation::Fallocate, 5_000, true);
    let (stage, errno) = (Stage::Publish, Errno::NOMEM.raw_os_error());
    assert_eq!(kernel.play(&mut machine), Err(FileError { stage, errno }));
    assert!(!kernel.published && !kernel.open);
}
