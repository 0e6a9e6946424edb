//! docs/operating/migrate.md as it is printed, with a real Python carbon-cache: from it to Benzene, back
//! with a drain, and back with nothing but the journal. After each step every point is there.
//! Replaced are only what tests cannot share: /opt/graphite, and the ports 2003 and 7002.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::daemon::{Querier, file_of, program_for_shell, wait_for};
use crate::first_use::now;
use crate::instances::local;
use crate::readme::blocks;
use crate::vitals::points_once_whole;

const METRICS: u32 = 30;

/// The blocks of commands below a heading of the page.
fn commands(heading: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/migrate.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, below) = text.split_once(heading).unwrap();
    let section = below.split("\n## ").next().unwrap();
    let blocks = blocks(section).into_iter();
    blocks.map(|(_, lines)| lines.join("\n")).collect()
}

/// What /opt/graphite is elsewhere, with both daemons' programs.
struct House {
    root: tempfile::TempDir,
    line: u16,
    query: u16,
}

impl House {
    fn new() -> House {
        let root = tempfile::tempdir().unwrap();
        let free = [(); 3].map(|()| TcpListener::bind(local(0)).unwrap());
        let [line, pickle, query] = free.map(|it| it.local_addr().unwrap().port());
        let house = House { root, line, query };
        for name in ["bin", "conf", "storage"] {
            std::fs::create_dir(house.root.path().join(name)).unwrap();
        }
        house.write(
            "conf/carbon.conf",
            &format!(
                "[cache]\nENABLE_TAGS = False\nCARBON_METRIC_INTERVAL = 0\nLINE_RECEIVER_PORT = {line}\n\
                 PICKLE_RECEIVER_PORT = {pickle}\nCACHE_QUERY_PORT = {query}\n"
            ),
        );
        house.write(
            "conf/storage-schemas.conf",
            "[all]\npattern = .*\nretentions = 1s:1h\n",
        );
        house.write("conf/storage-aggregation.conf", "");
        let python = benzene_fixtures::python().unwrap();
        let carbon = python.with_file_name("carbon-cache.py");
        let (root, python, carbon) = (house.root.path(), python.display(), carbon.display());
        house.write(
            "bin/carbon-cache.py",
            &format!(
                "#!/bin/sh\nGRAPHITE_ROOT={} exec {python} {carbon} \"$@\"\n",
                root.display()
            ),
        );
        let mode = std::fs::Permissions::from_mode(0o755);
        let program = program_for_shell();
        house.write(
            "bin/benzene",
            &format!("#!/bin/sh\nexec {program} \"$@\"\n"),
        );
        for program in ["bin/carbon-cache.py", "bin/benzene"] {
            std::fs::set_permissions(root.join(program), mode.clone()).unwrap();
        }
        house
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root.path().join(name), text).unwrap();
    }

    /// Runs a block of the page to its end; what it prints.
    fn run(&self, block: &str) -> String {
        let root = self.root.path();
        let lines = block
            .replace("/opt/graphite", root.to_str().unwrap())
            .replace("127.0.0.1/2003", &format!("127.0.0.1/{}", self.line))
            .replace(
                "benzene query",
                &format!("benzene query --host 127.0.0.1:{}", self.query),
            );
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["-ec", &lines])
            .env("PATH", format!("{}/bin:{path}", root.display()))
            .current_dir(root)
            .output()
            .unwrap();
        assert!(output.status.success(), "{lines}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A point for each metric, on a connection of its own.
    fn send(&self, time: u32) {
        let mut socket = wait_for(|| TcpStream::connect(local(self.line)).ok()).unwrap();
        let lines =
            (0..METRICS).map(|metric| format!("moved.m{metric} {} {time}\n", value(metric, time)));
        socket
            .write_all(lines.collect::<String>().as_bytes())
            .unwrap();
    }

    /// Whether these are the points of every file.
    fn has(&self, times: &[u32]) -> bool {
        let data = self.root.path().join("storage/whisper");
        (0..METRICS).all(|metric| {
            let found = points_once_whole(&file_of(&data, &format!("moved.m{metric}")));
            let wanted = times.iter().map(|time| (*time, value(metric, *time)));
            found == Some(wanted.collect())
        })
    }

    fn wait_until_has(&self, times: &[u32]) {
        wait_for(|| self.has(times).then_some(())).unwrap_or_else(|| panic!("{}", self.console()));
    }

    /// Waits until the cache has all points of a time.
    fn wait_until_cached(&self, time: u32) {
        let mut querier = Querier::connect(local(self.query));
        for metric in 0..METRICS {
            let wanted = (time, value(metric, time));
            let name = format!("moved.m{metric}");
            wait_for(|| querier.points(&name).contains(&wanted).then_some(())).unwrap();
        }
    }

    fn console(&self) -> String {
        let logs = self.root.path().join("storage/log/carbon-cache");
        std::fs::read_to_string(logs.join("carbon-cache-a/console.log")).unwrap_or_default()
    }

    /// kill -9 for whoever has the pid file and was started here.
    fn kill(&self) {
        let root = self.root.path();
        let Ok(pid) = std::fs::read_to_string(root.join("storage/carbon-cache-a.pid")) else {
            return;
        };
        let words = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(root.to_str().unwrap()) {
            drop(Command::new("kill").args(["-9", pid.trim()]).status());
            // Python counts a process that its parent has not asked for yet as one that runs.
            let place = format!("/proc/{}", pid.trim());
            wait_for(|| (!Path::new(&place).exists()).then_some(()));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

fn value(metric: u32, time: u32) -> f64 {
    f64::from(metric) + f64::from(time % 64) / 64.0
}

#[test]
fn one_carbon_cache_moves_to_benzene_and_back_as_the_page_says() {
    const START: &str = "carbon-cache.py --config=/opt/graphite/conf/carbon.conf start";
    let (there, back) = (
        commands("## From one carbon-cache"),
        commands("## The way back"),
    );
    let (house, time) = (House::new(), now() - 60);
    house.run(START);
    house.send(time);
    house.wait_until_has(&[time]);
    // Benzene holds what it gets, so that nothing but the drain brings it into the files. The keys that
    // are its own stay in the file when Python comes back.
    let conf = house.root.path().join("conf/carbon.conf");
    let mut text = std::fs::read_to_string(&conf).unwrap();
    text += "CACHE_WRITE_STRATEGY = timesorted\nMIN_TIMESTAMP_LAG = 1800\nMAX_POINT_AGE = 3600\n\
             JOURNAL_SYNC = always\n";
    std::fs::write(&conf, text).unwrap();
    let said = house.run(&there[0]);
    assert!(said.contains("is running"), "{said}");
    let said = house.run(&there[1]);
    assert!(said.contains("move.test"), "{said}");
    house.send(time + 1);
    house.wait_until_cached(time + 1);
    assert!(house.has(&[time]), "{}", house.console());

    house.run(&back[0]);
    assert!(house.has(&[time, time + 1]), "{}", house.console());
    // Python holds, too, by the same lines.
    house.send(time + 2);
    house.wait_until_cached(time + 2);
    assert!(house.console().contains("twistd"), "{}", house.console());
    house.kill();

    // And back by the journal alone. Python writes what it gets at once.
    house.run("benzene cache --config /opt/graphite/conf/carbon.conf start");
    house.send(time + 3);
    house.wait_until_cached(time + 3);
    house.kill();
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace("MIN_TIMESTAMP_LAG = 1800\n", "")).unwrap();
    house.run(START);
    drop(wait_for(|| TcpStream::connect(local(house.line)).ok()));
    house.run(back.last().unwrap());
    house.wait_until_has(&[time, time + 1, time + 3]);
}
