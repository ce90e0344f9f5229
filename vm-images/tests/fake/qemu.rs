// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fake QEMU that fails as requested by `fake=` on the kernel command line; built by
//! `endings.rs`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::time::Duration;

const HELLO: &str = r#"{"type":"hello","protocol":PROTOCOL}"#;
const READY: &str = r#"{"type":"ready","boot":BOOT,"boot_id":"b","release":"r","uptime_ms":1}"#;

const STARTED: &str = "{\"type\":\"started\",\"program\":\"p\"}\n";

const EXITED: &str = "{\"type\":\"exited\",\"status\":{\"code\":3},\"timed_out\":false,\
                      \"uptime_ms\":1,\"output_cut\":false}\n";

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
            eprintln!("fake failure");
            exit(1);
        }
        _ => {}
    }
    let mut channel = UnixStream::connect(path("channel")).unwrap();
    serve_test_port(&path("qtest"), fault == "surprise-removal");
    let mut qmp = serve_monitor(&path("qmp"));
    let hello = |protocol: &str| HELLO.replace("PROTOCOL", protocol) + "\n";
    let ready = |boot: &str| READY.replace("BOOT", boot) + "\n";
    match fault {
        "garbage" => channel.write_all(b"\xff\x00 what?\n").unwrap(),
        "endless-line" => channel.write_all(&[b'x'; 100_000]).and(channel.write_all(b"\n")).unwrap(),
        "other-protocol" => channel.write_all(hello("99").as_bytes()).unwrap(),
        "other-boot" => channel.write_all((hello("6") + &ready("7")).as_bytes()).unwrap(),
        "console-flood" => File::options()
            .create(true)
            .append(true)
            .open(path("serial"))
            .and_then(|serial| serial.set_len(65 * 1024 * 1024))
            .unwrap(),
        "stops" => qmp.write_all(b"{\"event\":\"STOP\"}\r\n").unwrap(),
        "resets-at-goodbye" => {
            channel.write_all((hello("6") + &ready("1")).as_bytes()).unwrap();
            let mut orders = BufReader::new(&channel);
            for _begin_and_power_off in 0..2 {
                orders.read_line(&mut String::new()).unwrap();
            }
            channel.write_all(b"{\"type\":\"goodbye\"}\n").unwrap();
            qmp.write_all(b"{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\r\n")
                .unwrap();
            exit(0);
        }
        "kexec" | "kexec-in-mid-line" => {
            begin_boot(&mut channel);
            if fault == "kexec-in-mid-line" {
                channel.write_all(b"{\"type\":\"outp").unwrap();
            }
            channel.write_all(("\n".to_owned() + &hello("6")).as_bytes()).unwrap();
        }
        "requests" | "surprise-removal" => {
            let mut orders = begin_boot(&mut channel);
            for text in ["surprise 0000:01:00.0", "unplug 0000:01:00.0", "plug 0000:01:00.0"] {
                let request = format!("{{\"type\":\"request\",\"text\":\"{text}\"}}\n");
                channel.write_all(request.as_bytes()).unwrap();
                // A second request while the first is pending.
                if text.starts_with("plug") {
                    channel.write_all(request.as_bytes()).unwrap();
                    wait_for(&mut orders, "\"answer\"");
                }
                wait_for(&mut orders, "\"answer\"");
            }
            channel.write_all(EXITED.as_bytes()).unwrap();
        }
        "slow-reader" => {
            let hello = hello("6") + &ready("1");
            channel.write_all(hello.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_secs(1));
            let mut orders = BufReader::new(channel.try_clone().unwrap());
            for order in ["begin", "put", "run", "time_is_up"] {
                let mut line = String::new();
                orders.read_line(&mut line).unwrap();
                let begin = format!("{{\"type\":\"{order}\"");
                if !line.starts_with(&begin) || line.matches("\"type\"").count() != 1 {
                    eprintln!("not `{order}`");
                    exit(1);
                }
                if order == "run" {
                    channel.write_all(STARTED.as_bytes()).unwrap();
                }
            }
            channel.write_all(EXITED.as_bytes()).unwrap();
        }
        "silent" => {}
        other => panic!("unknown fault {other}"),
    }
    hang();
}

/// Sends the messages up to the start of a program.
fn begin_boot(channel: &mut UnixStream) -> BufReader<UnixStream> {
    let hello = HELLO.replace("PROTOCOL", "6") + "\n" + &READY.replace("BOOT", "1") + "\n";
    channel.write_all(hello.as_bytes()).unwrap();
    let mut orders = BufReader::new(channel.try_clone().unwrap());
    wait_for(&mut orders, "\"run\"");
    channel.write_all(STARTED.as_bytes()).unwrap();
    orders
}

fn wait_for(orders: &mut BufReader<UnixStream>, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(orders.read_line(&mut line).unwrap(), 0);
    }
}

/// Serves a configuration space with a host bridge and, if `has_port`, a root port whose
/// slot power stays on.
fn serve_test_port(path: &str, has_port: bool) {
    let mut stream = UnixStream::connect(path).unwrap();
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            let answer = match words.as_slice() {
                ["readl", "0xb0000000"] => "OK 0x29c08086",
                ["readl", "0xb0020004"] if has_port => "OK 0x00100000",
                ["readl", "0xb0020034"] if has_port => "OK 0x00000040",
                ["readl", "0xb0020040"] if has_port => "OK 0x00010010",
                ["readl", "0xb0020058"] if has_port => "OK 0x004001f1",
                ["readl", _] => "OK 0xffffffff",
                _ => "OK",
            };
            if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
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
        } else if command.contains("device_del") {
            r#"{"error":{"class":"GenericError","desc":"fake failure"}}"#
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
