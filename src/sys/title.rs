//! The process's title: what `ps` and `top -c` show as its command line.
//!
//! The kernel is told to read the command line somewhere else (prctl(2), `PR_SET_MM_MAP`), which takes no privilege. To
//! write over the arguments instead, as others do, leaves room for few letters, or costs the environment as well.

use std::sync::{
    LazyLock, OnceLock,
    atomic::{AtomicU8, Ordering},
};

/// The longest title, and a zero.
const SIZE: usize = 256;

/// On the heap: the kernel reads a command line from anonymous memory only, and where a static lies is partly the
/// program's file.
static TITLE: LazyLock<Box<[AtomicU8]>> = LazyLock::new(|| (0..SIZE).map(|_| AtomicU8::new(0)).collect());

/// `struct prctl_mm_map` of `linux/prctl.h`.
#[repr(C)]
struct Map {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Gives the process, and those that it forks from now on, a title. The first call must come while there is one thread.
/// Returns whether the kernel shows it.
pub fn set_title(title: &str) -> bool {
    static IS_SHOWN: OnceLock<bool> = OnceLock::new();
    let text = title.as_bytes().iter().copied().filter(|byte| *byte != 0).chain(std::iter::repeat(0));
    for (place, byte) in TITLE[..SIZE - 1].iter().zip(text) {
        place.store(byte, Ordering::Relaxed);
    }
    *IS_SHOWN.get_or_init(|| super::process::threads() <= 1 && show().is_some())
}

/// Has the kernel read the command line from `TITLE`.
fn show() -> Option<()> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<u64> =
        stat.rsplit_once(") ")?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    // Numbered as in proc_pid_stat(5), where the field behind the name is the third.
    let field = |number: usize| fields.get(number - 3).copied().filter(|address| *address != 0);
    let title = TITLE.as_ptr().addr() as u64;
    let mut map = Map {
        start_code: field(26)?,
        end_code: field(27)?,
        start_stack: field(28)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: 0,
        arg_start: title,
        arg_end: title + SIZE as u64,
        env_start: field(50)?,
        env_end: field(51)?,
        // Stays as it is, like the program's file.
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    // SAFETY: asks for the end of the heap, and changes nothing: no heap ends at 0.
    let end = unsafe { libc::syscall(libc::SYS_brk, 0) };
    map.brk = u64::try_from(end).ok()?;
    // SAFETY: the kernel copies the map, which is what it knows already but for the place of the arguments, which stays.
    // This is the only thread, and nothing is allocated since the end of the heap was read, so that it is still true.
    let result = unsafe { libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, &raw const map, size_of::<Map>(), 0) };
    (result == 0).then_some(())
}
