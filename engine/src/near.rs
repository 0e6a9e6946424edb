//! Asks the processor for memory that is used a little later, so that nobody waits for it then.
//! A hint: nothing is read or changed by it, it cannot fail, and no result depends on it.
//! Worth its instructions only where the processor does not foresee by itself what comes, as among
//! names in no order, and where other work lies between asking and use (docs/decisions/0008).

/// So many points before its turn memory is asked for: a point is some hundred nanoseconds of work, a
/// wait for memory 150. What only says where other memory is, is asked for twice as early.
pub(crate) const AHEAD: usize = 8;

/// Asks for the line of the processor's cache in which a value begins.
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "stable Rust has the hint as an intrinsic of the processor alone"
    )
)]
#[inline]
pub(crate) fn fetch<T: Copy>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has SSE, and a prefetch of any address changes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    // Stable Rust has no such hint elsewhere: there it is read, and may be waited for.
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(*value);
}
