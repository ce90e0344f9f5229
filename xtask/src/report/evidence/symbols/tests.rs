// SPDX-License-Identifier: MIT OR Apache-2.0
use std::process::Command;

use super::super::splat::SplatLine;
use super::*;

#[test]
fn frame_finds_frames_of_the_kernel_in_log_lines() {
    let named =
        |line: &str| frame(line).map(|frame| (frame.function, frame.offset, frame.is_return));
    let of = |name: &str, offset, is_return| Some((name.to_owned(), offset, is_return));
    assert_eq!(
        named(" vfs_write+0x199/0x370"),
        of("vfs_write", 0x199, true)
    );
    assert_eq!(named(" ? a.isra.0+0x1/0x2"), of("a.isra.0", 1, true));
    assert_eq!(
        named("RIP: 0010:pci_x+0xee/0x140"),
        of("pci_x", 0xee, false)
    );
    assert_eq!(
        named("WARNING: drivers/pci/x.c:329 at pci_x+0xeb/0x140, CPU#0: t/41"),
        of("pci_x", 0xeb, false)
    );
    for other in [
        "RIP: 0033:0x44bc40",
        " f+0x1/0x2 [module]",
        " <b>+0x1/0x2",
        " f+0xzz/0x2",
        " f+0x11111111111111111/0x2",
        "+0x/0x",
        "",
    ] {
        assert_eq!(named(other), None, "{other}");
    }
}

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
fn explain_maps_a_frame_only_if_one_function_matches() {
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
    let size = functions(&symbols).unwrap()["outer"][0].1;
    let line = |text: String| SplatLine {
        text,
        ..SplatLine::default()
    };
    let mut splat = SplatEvidence {
        lines: vec![
            line(format!("RIP: 0010:outer+0x0/{size:#x}")),
            line(format!(" outer+0x0/{:#x}", size + PADDING_BYTES_MAX)),
            line(" unknown+0x0/0x10".to_owned()),
            line("no frame".to_owned()),
        ],
        ..SplatEvidence::default()
    };
    let mut all = Symbols::default();
    all.explain(&mut splat, &symbols);
    let first = splat.lines[0].places.join(" ");
    assert!(
        first.starts_with("init/main.c:") && !first.contains("/tmp"),
        "{first}"
    );
    let others: Vec<_> = splat.lines[1..].iter().map(|line| &line.places).collect();
    assert!(others.iter().all(|places| places.is_empty()), "{others:?}");

    let mut gone = splat.clone();
    gone.lines[0].places.clear();
    all.explain(&mut gone, &root.join("no-such"));
    assert!(gone.lines[0].places.is_empty(), "{gone:?}");
}
