// What Swift's Glibc module does not export: epoll, eventfd, accept4. No policy, no logic.
#pragma once
