/* ntddk.h - the same as wdm.h here. */
#include "wdm.h"
