//! Code written once for many types and functions: implementations of the core library's traits,
//! and constructors that are constants except in a model.

/// `Display` by a text for each pattern, and `Error` for what is said to be one.
macro_rules! display {
    (error $type:ident: $($arms:tt)*) => {
        display!($type: $($arms)*);
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

/// `Debug` or `Display` by one text. The header of the `impl` is given, and a name for the value.
macro_rules! text {
    (($($header:tt)*) $this:ident => $($text:tt)*) => {
        impl $($header)* {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let $this = self;
                write!(f, $($text)*)
            }
        }
    };
}

/// `Default` by `new`, which is also a constant. The header after `impl` is given.
macro_rules! default_is_new {
    ($($header:tt)*) => {
        impl $($header)* {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// Defines functions that are `const`, except in a loom model.
macro_rules! const_unless_model {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<const $n:ident: usize>)? ($($argument:tt)*)
        $(-> $answer:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        #[cfg(not(rundown_loom))]
        $visibility const fn $name $(<const $n: usize>)? ($($argument)*) $(-> $answer)? $body
        $(#[$attribute])*
        #[cfg(rundown_loom)]
        $visibility fn $name $(<const $n: usize>)? ($($argument)*) $(-> $answer)? $body
    )*};
}

/// An array of `$n` values, each made anew: a constant, except in a loom model.
#[cfg(not(rundown_loom))]
macro_rules! array_of {
    ($value:expr; $n:expr) => {
        [const { $value }; $n]
    };
}
#[cfg(rundown_loom)]
macro_rules! array_of {
    ($value:expr; $n:expr) => {
        core::array::from_fn::<_, { $n }, _>(|_| $value)
    };
}
