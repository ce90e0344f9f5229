// SPDX-License-Identifier: MIT OR Apache-2.0
use std::process::Command;

use super::*;

#[test]
fn plain_path_removes_dot_components() {
    assert_eq!(
        plain_path("/build/../source/./mm/slub.c"),
        "/source/mm/slub.c"
    );
    assert_eq!(plain_path("mm/slub.c"), "mm/slub.c");
}

/// A program in place of a kernel: it has the landmark function, and a function into which
/// another function is inlined.
const SOURCE: &str = "\
static inline __attribute__((always_inline)) int inner(volatile int *p)
{
\treturn *p / 3;
}

__attribute__((noinline)) int outer(volatile int *p)
{
\treturn inner(p) + 1;
}

int start_kernel(volatile int *p)
{
\treturn outer(p);
}

int main(void)
{
\tvolatile int one = 1;
\treturn start_kernel(&one);
}
";

#[test]
fn places_maps_a_frame_only_if_one_function_matches() {
    let place = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(place.path()).unwrap();
    fs_err::create_dir(root.join("init")).unwrap();
    fs_err::write(root.join("init/main.c"), SOURCE).unwrap();
    let built = Command::new("gcc")
        .args(["-g", "-O1", "-o", "vmlinux", "./init/../init/main.c"])
        .current_dir(root)
        .status()
        .unwrap();
    assert!(built.success(), "gcc compiles the program");
    let symbols = root.join("vmlinux");
    let size = size_of("outer", &symbols);
    let mut all = SourceLines::default();
    let mut places = |line: &str, image: &Utf8Path| {
        let frame = Frame::in_line(line).unwrap();
        all.places(&frame, image).join(" ")
    };
    let outer = format!("RIP: 0010:outer+0x0/{size:#x}");
    let first = places(&outer, &symbols);
    assert!(
        first.starts_with("init/main.c:") && !first.contains("/tmp"),
        "{first}"
    );
    for other in [
        format!(" outer+0x0/{:#x}", size - 1),
        " unknown+0x0/0x10".to_owned(),
    ] {
        assert_eq!(places(&other, &symbols), "", "{other}");
    }
    assert_eq!(places(&outer, &root.join("no-such")), "");
}

/// Returns the size of a function, in bytes.
fn size_of(name: &str, image: &Utf8Path) -> u64 {
    let output = Command::new("nm").arg("-S").arg(image).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|words| words.last() == Some(&name)).unwrap();
    u64::from_str_radix(line[1], 16).unwrap()
}
