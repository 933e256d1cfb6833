/* What the driver in driver.c offers to its kernel. */
#ifndef DRIVER_H
#define DRIVER_H

#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

/* Looks a key up in the table that is in force. STATUS_DELETE_PENDING while there is none. */
NTSTATUS TableLookup(_In_ ULONG Key, _Out_ ULONG *Value);

/* Puts another table in force; each value in it is Factor times its key. */
NTSTATUS TableReplace(_In_ ULONG Factor);

/* A burst of requests to the device; refused when it is stopped. */
BOOLEAN DeviceRequest(_In_ ULONG Requests);

#endif
