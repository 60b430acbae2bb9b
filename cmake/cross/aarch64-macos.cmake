# Toolchain: macOS on Apple silicon from any machine, with zig as compiler and linker. POME_CROSS in the environment is the
# folder that scripts/cross_macos.sh made: bin/ has zig's compilers under their usual names, the rest are sources of libraries.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(POME_CROSS $ENV{POME_CROSS})
set(CMAKE_C_COMPILER ${POME_CROSS}/bin/cc)
set(CMAKE_CXX_COMPILER ${POME_CROSS}/bin/c++)
set(CMAKE_AR ${POME_CROSS}/bin/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${POME_CROSS}/bin/ranlib CACHE FILEPATH "")
set(CMAKE_INSTALL_NAME_TOOL ${POME_CROSS}/bin/install_name_tool CACHE FILEPATH "")
set(CMAKE_OSX_SYSROOT "" CACHE STRING "")
set(CMAKE_OSX_DEPLOYMENT_TARGET "" CACHE STRING "")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_FIND_ROOT_PATH ${POME_CROSS})
# zig ships no frameworks: this stub lists the functions of Accelerate that are used, no others resolve.
set(POME_BLAS ${CMAKE_CURRENT_LIST_DIR}/Accelerate.tbd CACHE FILEPATH "")
# Libraries are compiled from source or are headers: the Find modules beside this file.
list(PREPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
set(THREADS_PREFER_PTHREAD_FLAG OFF)
set(CMAKE_CXX_FLAGS_INIT "-isystem ${CMAKE_CURRENT_LIST_DIR}/include")
