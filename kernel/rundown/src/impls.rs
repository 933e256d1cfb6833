//! Implementations of the core library's traits that are alike for many types.

/// `Display` by a text for each pattern, and `Error` for what is said to be one.
macro_rules! display {
    (error $type:ident: $($arms:tt)*) => {
        $crate::impls::display!($type: $($arms)*);
        impl core::error::Error for $type {}
    };
    ($type:ident: $($pattern:pat => $text:literal,)*) => {
        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $($pattern => write!(f, $text),)*
                }
            }
        }
    };
}
pub(crate) use display;

/// `Default` by `new`, which is also a constant. What comes behind the `impl` is given.
macro_rules! default_is_new {
    ($($header:tt)*) => {
        impl $($header)* {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}
pub(crate) use default_is_new;
