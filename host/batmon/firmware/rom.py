"""Names that MicroPython has in its ROM: what a program calls so takes no heap for its name.

Read from the firmware of the two interpreters that the tests run on, unix 1.25 (32-bit) and 1.29
(64-bit), as far as the sources of py/, extmod/ and ports/esp32 of 1.29 have them too. A board that
lacks one keeps it in its heap, as it does any other name: nothing breaks.
"""

# Given to others, where nobody uses what is called so: no name that MicroPython itself looks up in
# an object, and no exception or word of an error message, so that a traceback can be read again.
FREE = tuple(
    """
AF_INET ARRAY AUTO BFINT16 BFINT32 BFINT8 BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS BIG_ENDIAN
BytesIO CERT_NONE CERT_OPTIONAL CancelledError DeflateIO EINPROGRESS Ellipsis Event FLOAT32
FLOAT64 FrameBuffer FrameBuffer1 GS2_HMSB GS4_HMSB GS8 GZIP INT INT16 INT32 INT64 INT8 IOBase
IOQueue LITTLE_ENDIAN LONG LONGLONG Lock LockType Loop MBEDTLS_VERSION MONO_HLSB MONO_HMSB
MONO_VLSB MVLSB NATIVE NoneType NotImplemented OrderedDict POLLERR POLLHUP POLLIN POLLOUT
PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER PROTOCOL_TLS_CLIENT PROTOCOL_TLS_SERVER PTR PinBase RAW
RGB565 RingIO SHORT SOCK_DGRAM SOCK_RAW SOCK_STREAM SOL_SOCKET SO_BROADCAST SO_KEEPALIVE
SO_REUSEADDR SSLContext SSLSocket Server Signal SingletonGenerator Stream StreamReader
StreamWriter StringIO Task TaskQueue TextIOWrapper ThreadSafeFlag UINT UINT16 UINT32 UINT64 UINT8
ULONG ULONGLONG USHORT VOID VfsFat VfsLfs2 ViperTypeError ZLIB a2b_base64 abs abs_tol accept
aclose acos acosh acquire addressof aes allocate_lock appendleft argv ascii asin asinh asyncio
atan atan2 atanh atexit attr aw awrite awritestr b2a_base64 backlog bin binascii bind blit
bound_method buf buffering builtins bytearray_at byteorder bytes_at calcsize
call_exception_handler cb ceil center choice cipher classmethod clear closure cmath collect
collections const context copy copysign core cos cosh crc32 create_task cryptolib cur_task
current_task decode default_exception_handler deflate degrees delattr deleter deque dest dict_view
difference difference_update digest dir discard divmod do_handshake_on_connect doc drain dt dump
dumps ellipse encode endswith enumerate er erf erfc errorcode eval exc exc_info exc_type exec
execfile executable exit exp expm1 extend fabs fill fill_rect flags floor flush fmod framebuf
frexp from_bytes fromhex fromkeys frozenset funcs future gamma gather gc get_ciphers
get_event_loop get_exception_handler get_extra_info get_ident getaddrinfo getattr getrandbits
getter getvalue globals gmtime group hasattr hashlib head heap_lock heap_unlock heapify heappop
heappush heapq help hexlify hline idle idx imag implementation insert intersection
intersection_update invert ipoll is_set isalpha isclose isdigit isdisjoint isenabled isfinite
isinf isinstance islower isnan isspace issubset issuperset isupper iter json kbd_intr keepends
ldexp lgamma line listdir listen little load_cert_chain load_verify_locations loads localtime lock
log log10 log2 lookahead lower lstrip main main_task makefile map max maxsize md5 mem mem16 mem32
mem8 mem_alloc mem_free mem_info message min mkfs modf modules mtime namedtuple nan new_event_loop
newline next oct off open_connection opt_level os out_buf pack pack_into package partition path
peek peername pend_throw phase pi pixel platform polar poller poly popleft port print
print_exception progsize property ps1 ps2 ptr ptr16 ptr32 ptr8 push put py python_compiler
qstr_info queue_read queue_write radians randint random randrange rb re readexactly readonly
readsize real rect recv_into recvfrom rel_tol release replace repr req requests return_exceptions
reverse reversed rfind rindex round rpartition rstrip run run_forever run_until_complete runq_len
scroll search seek select sendall sendto sep separators server_side set_ciphers
set_exception_handler setattr setblocking setdefault setsockopt setter settimeout sgen sha1 sha256
sin sinh sleep sleep_ms sleep_us socket soft_reset sort sorted split splitlines sqrt src ssl
stack_size start_new_thread start_server startswith staticmethod stderr stdin stdout stream_awrite
strip sum symmetric_difference symmetric_difference_update sys system sz tan tanh tau tb tell text
threshold ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns time_pulse_us tls to_bytes
trunc unhexlify uniform union unlink unpack_from upper urandom verify_callback verify_mode
version_info vfs viper vline wait_closed wait_for wait_for_ms wait_io_event waiter waitq_len wb
websocket wrap_socket zip
""".split()
)

# The rest: they stay what they are.
OTHERS = tuple(
    """
ArithmeticError AssertionError AttributeError BaseException CERT_REQUIRED EOFError Exception
GeneratorExit ImportError IndentationError IndexError KeyError KeyboardInterrupt LookupError
MemoryError NameError NotImplementedError OSError OverflowError RuntimeError StopAsyncIteration
StopIteration SyntaxError SystemExit TimeoutError TypeError UnicodeError ValueError
ZeroDivisionError _Remove _asyncio _attrs _build _dequeue _enqueue _exc_context _exc_handler
_io_queue _machine _mpy _promote_to_task _run _serve _stop_task _stopper _task_queue _thread add
all any append args array auth bool buffer bytearray bytecode bytes callable cancel chdir chr
close code compile complex connect coro count data decrypt default delete dict disable done e
enable encoding encrypt end errno event exception factorial file fileno filter find float format
function generator get getcwd handler hash hex host id ilistdir index indices inf input int io
ioctl issubclass items iterable iterator join key keys l len list load locals locked loop machine
match math memoryview micropython mkdir mktime mode modify module mount n name native object on
open ord ph_key poll pop popitem pow r range read readblocks readinto readline readlines recv
register remove rename rmdir rsplit s schedule seed self send server_hostname set single sizeof
slice start stat state statvfs step stop str stream struct sub super sync t target task throw
ticks timeout tuple type uctypes uint umount unpack unregister update v value values version wait
waiting write writeblocks
""".split()
)

ALL = frozenset(FREE + OTHERS)
