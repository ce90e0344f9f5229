// SPDX-License-Identifier: GPL-2.0-only
//! The program that the tests of the VM room run in their guests. It does what
//! its first argument says; built by the test itself, statically.

use std::io::Write as _;
use std::process::{Command, exit};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("say") => {
            println!("out {}", args[2..].join(" "));
            eprintln!("err {}", std::env::var("GREETING").unwrap_or_default());
        }
        // What no two guests may have in common: random numbers, but the time.
        Some("self") => {
            let mut random = [0; 16];
            let mut source = std::fs::File::open("/dev/urandom").unwrap();
            std::io::Read::read_exact(&mut source, &mut random).unwrap();
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            println!("{} {random:?}", now.as_millis());
        }
        Some("where") => println!("{}", std::env::current_dir().unwrap().display()),
        Some("unlink") => std::fs::remove_file(&args[2]).unwrap(),
        Some("exit") => exit(args[2].parse().unwrap()),
        Some("sleep") => std::thread::sleep(Duration::from_secs(3600)),
        Some("crash") => std::fs::write("/proc/sysrq-trigger", "c").unwrap(),
        Some("flood") => {
            let line = [b'x'; 4096];
            for _ in 0..2048 {
                std::io::stdout().write_all(&line).unwrap();
            }
        }
        // Leaves a process behind that holds the output pipe, and goes.
        Some("keeper") => {
            Command::new(&args[0]).arg("sleep").spawn().unwrap();
            println!("left a keeper");
        }
        _ => exit(100),
    }
}
