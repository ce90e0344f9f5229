// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program that the tests of this crate run in their guests. The first argument selects
//! the action. The test compiles it as a static program.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, exit};
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("print") => {
            println!("out {}", args[2..].join(" "));
            eprintln!("err {}", std::env::var("GREETING").unwrap_or_default());
        }
        // Prints the time and random numbers, which must differ between guests.
        Some("identity") => {
            let mut random = [0; 16];
            let mut source = std::fs::File::open("/dev/urandom").unwrap();
            std::io::Read::read_exact(&mut source, &mut random).unwrap();
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            println!("{} {random:?}", now.as_millis());
        }
        // Sends each argument to the machine, in order, and prints the answers. `gone X`
        // and `there X` wait until the kernel has removed or added the PCI address, `write
        // X=Y` writes to a file.
        Some("request") => args[2..].iter().for_each(|text| request(text)),
        // Prints the addresses of all PCI functions.
        Some("devices") => {
            let all = std::fs::read_dir("/sys/bus/pci/devices").unwrap();
            let mut names: Vec<String> = all
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            println!("{}", names.join(" "));
        }
        // Executes a kexec without an order.
        Some("kexec") => kexec(),
        Some("working-directory") => println!("{}", std::env::current_dir().unwrap().display()),
        Some("unlink") => std::fs::remove_file(&args[2]).unwrap(),
        Some("exit") => exit(args[2].parse().unwrap()),
        Some("sleep") => std::thread::sleep(Duration::from_secs(3600)),
        Some("spin") => loop {
            std::hint::spin_loop();
        },
        // Loads the module `fault` and triggers a fault.
        Some("fault") => fault(&args[2], &args[3]),
        Some("crash") => std::fs::write("/proc/sysrq-trigger", "c").unwrap(),
        Some("flood") => {
            let line = [b'x'; 4096];
            for _ in 0..2048 {
                std::io::stdout().write_all(&line).unwrap();
            }
        }
        // Leaves a process behind that holds the output pipe.
        Some("leave-child") => {
            Command::new(&args[0]).arg("sleep").spawn().unwrap();
            println!("left a child");
        }
        _ => exit(100),
    }
}

fn fault(module: &str, word: &str) {
    unsafe extern "C" {
        fn syscall(number: i64, ...) -> i64;
    }
    let module = File::open(module).unwrap();
    // SAFETY: finit_module of an open file, without parameters.
    let loaded = unsafe { syscall(313, i64::from(module.as_raw_fd()), "\0".as_ptr(), 0_i64) };
    assert_eq!(loaded, 0, "finit_module");
    std::fs::write("/sys/kernel/debug/fault", word).unwrap();
}

fn request(text: &str) {
    let (verb, address) = text.split_once(' ').unwrap_or((text, ""));
    let path = format!("/sys/bus/pci/devices/{address}");
    let since = Instant::now();
    match verb {
        "gone" | "there" => {
            while std::fs::exists(&path).unwrap() != (verb == "there") {
                if since.elapsed() > Duration::from_secs(40) {
                    println!("{text} never");
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            eprintln!("{text} after {} ms", since.elapsed().as_millis());
        }
        // The argument is a path and the text to write.
        "write" => {
            let (path, content) = address.split_once('=').unwrap();
            if let Err(error) = std::fs::write(path, content) {
                println!("{text}: {error}");
            }
        }
        _ => {
            let folder = std::env::var("KT_MACHINE").unwrap();
            let open = |name: &str| {
                let mut options = File::options();
                options.read(name == "answer").write(name == "request");
                options.open(format!("{folder}/{name}")).unwrap()
            };
            let answer = open("answer");
            open("request").write_all(format!("{text}\n").as_bytes()).unwrap();
            let mut line = String::new();
            BufReader::new(answer).read_line(&mut line).unwrap();
            println!("{text}: {}", line.trim_end());
        }
    }
}

/// Loads the kernel that PID 1 would load, and executes it.
fn kexec() {
    unsafe extern "C" {
        fn syscall(number: i64, ...) -> i64;
    }
    let kernel = File::open("/kexec/bzImage").unwrap();
    let initrd = File::open("/kexec/initrd").unwrap();
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap();
    let cmdline = std::ffi::CString::new(cmdline.trim_end()).unwrap();
    let length = cmdline.as_bytes_with_nul().len();
    println!("starting the kexec");
    // SAFETY: kexec_file_load of two open files and a string of that length; reboot takes
    // plain numbers.
    unsafe {
        let loaded = syscall(
            320,
            i64::from(kernel.as_raw_fd()),
            i64::from(initrd.as_raw_fd()),
            length,
            cmdline.as_ptr(),
            0_i64,
        );
        assert_eq!(loaded, 0, "kexec_file_load");
        syscall(169, 0xfee1dead_u32, 0x28121969_u32, 0x45584543_u32, 0_i64);
    }
}
