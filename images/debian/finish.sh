# Debian's side of images/common/finish.
# Debian's default site answers on port 80 as soon as Apache starts; that is what the course wants.
:
