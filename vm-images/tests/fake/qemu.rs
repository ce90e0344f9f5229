// SPDX-License-Identifier: GPL-2.0-only
//! A stand-in for QEMU that misbehaves as the kernel command line asks with
//! `fake=`; built by the tests of the VM room's endings.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::time::Duration;

const HELLO: &str = r#"{"type":"hello","protocol":PROTOCOL}"#;
const READY: &str = r#"{"type":"ready","stage":STAGE,"boot_id":"b","release":"r","uptime_ms":1}"#;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let path = |id: &str| {
        let mark = format!("id={id},path=");
        args.iter()
            .find_map(|arg| Some(arg.split_once(&mark)?.1.to_owned()))
            .unwrap()
    };
    let fault = args
        .iter()
        .flat_map(|arg| arg.split(' '))
        .find_map(|word| word.strip_prefix("fake="))
        .unwrap();
    match fault {
        "never-connects" => hang(),
        "exits" => {
            eprintln!("no luck today");
            exit(1);
        }
        _ => {}
    }
    let mut channel = UnixStream::connect(path("channel")).unwrap();
    let _test_port = UnixStream::connect(path("qtest")).unwrap();
    let mut qmp = serve_monitor(&path("qmp"));
    let hello = |protocol: &str| HELLO.replace("PROTOCOL", protocol) + "\n";
    let ready = |stage: &str| READY.replace("STAGE", stage) + "\n";
    match fault {
        "garbage" => channel.write_all(b"\xff\x00 what?\n").unwrap(),
        "endless-line" => channel.write_all(&[b'x'; 100_000]).and(channel.write_all(b"\n")).unwrap(),
        "other-protocol" => channel.write_all(hello("99").as_bytes()).unwrap(),
        "other-stage" => channel.write_all((hello("5") + &ready("7")).as_bytes()).unwrap(),
        "console-flood" => File::options()
            .create(true)
            .append(true)
            .open(path("serial"))
            .and_then(|serial| serial.set_len(65 * 1024 * 1024))
            .unwrap(),
        "stops" => qmp.write_all(b"{\"event\":\"STOP\"}\r\n").unwrap(),
        "resets-at-goodbye" => {
            channel.write_all((hello("5") + &ready("1")).as_bytes()).unwrap();
            let mut orders = BufReader::new(&channel);
            for _begin_and_power_off in 0..2 {
                orders.read_line(&mut String::new()).unwrap();
            }
            channel.write_all(b"{\"type\":\"goodbye\"}\n").unwrap();
            qmp.write_all(b"{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\r\n")
                .unwrap();
            exit(0);
        }
        "silent" => {}
        other => panic!("no fault is named {other}"),
    }
    hang();
}

/// Answers every command; returns a second handle for events.
fn serve_monitor(path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"{\"QMP\":{}}\r\n").unwrap();
    let events = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut answer = move || -> Option<()> {
        let command = lines.next()?.ok()?;
        let answer = if command.contains("query-status") {
            r#"{"return":{"status":"internal-error"}}"#
        } else if command.contains("human-monitor-command") {
            r#"{"return":"RIP=0"}"#
        } else {
            r#"{"return":{}}"#
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).ok()
    };
    answer().unwrap();
    std::thread::spawn(move || while answer().is_some() {});
    events
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
