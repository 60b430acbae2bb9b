# Headers only.
if(NOT TARGET CLI11::CLI11)
    add_library(CLI11::CLI11 INTERFACE IMPORTED)
    target_include_directories(CLI11::CLI11 SYSTEM INTERFACE ${POME_CROSS}/include)
endif()
set(CLI11_FOUND TRUE)
