//! `compare` with few files and short times: a model disk beside a directory of the machine's own, or
//! the directory alone. The report is whole in its three forms, and nothing is left. What the figures
//! are is not looked at.
//! A model disk needs root; elsewhere only the directory is measured.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::disk::is_possible;
use crate::programs::{bench, benzene, said, text};

/// Runs it with reports into `dir`.
fn compare(dir: &Path, port: &str, options: &[&str]) -> Output {
    let reports = ["a.json", "a.html"].map(|name| dir.join(name).display().to_string());
    let homes = dir.join("homes");
    fs::create_dir(&homes).unwrap();
    let reports = ["--json", &reports[0], "--html", &reports[1]];
    let common = ["--quick", "--first-port", port];
    let options = [&common[..], &reports[..], options].concat();
    let output = bench("compare", benzene(), &homes, &options);
    assert_eq!(fs::read_dir(&homes).unwrap().count(), 0, "a home is left");
    output
}

#[test]
fn a_model_beside_a_directory_is_reported_in_three_forms() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Path::new("/dev/shm");
    let models = tempfile::tempdir_in(if memory.is_dir() { memory } else { dir.path() }).unwrap();
    let flash = dir.path().join("flash");
    let mut options = vec!["--ssd", flash.to_str().unwrap(), "--note", "of a test"];
    let classes: &[&str] = if is_possible() {
        options.extend(["--model", "--model-dir", models.path().to_str().unwrap()]);
        &["hdd", "ssd"]
    } else {
        &["ssd"]
    };
    let output = compare(dir.path(), "25003", &options);
    let report = text(&output);
    // On a machine that is busy enough a disk holds nothing, and the exit code says so.
    let is_held = !report.contains(" held none of the rates");
    assert_eq!(output.status.success(), is_held, "{}", said(&output));
    let json = fs::read_to_string(dir.path().join("a.json")).unwrap();
    let html = fs::read_to_string(dir.path().join("a.html")).unwrap();
    assert!(report.contains("of a test"), "{report}");
    assert!(html.ends_with("</html>\n") && html.contains("<svg"));
    for class in classes {
        let verb = if is_held { "holds " } else { "h" };
        let sentence = format!("The {class} {verb}");
        assert!(report.contains(&sentence), "{}", said(&output));
        assert!(html.contains(&sentence), "{html}");
        assert!(json.contains(&format!("\"class\": \"{class}\"")), "{json}");
        let limiter = format!("{class}: the limiter");
        assert!(report.contains(&limiter), "{report}");
    }
    let from = dir.path().join("a.json");
    let again = bench(
        "compare",
        benzene(),
        dir.path(),
        &["--from", from.to_str().unwrap()],
    );
    assert_eq!(text(&again), report, "{}", said(&again));
    let empty = |dir: &Path| fs::read_dir(dir).unwrap().count() == 0;
    assert!(empty(&flash) && empty(models.path()), "files are left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let models = models.path().to_str().unwrap();
    assert!(!mounts.contains(models), "still mounted: {mounts}");
}

#[test]
fn without_a_disk_it_says_what_to_name() {
    let dir = tempfile::tempdir().unwrap();
    let output = compare(dir.path(), "25103", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("--hdd DIR"), "{}", said(&output));
}
